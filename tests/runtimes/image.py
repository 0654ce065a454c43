"""Writes the image of sandboxes, as `docker save` does: busybox, asleep."""
import hashlib, io, json, sys, tarfile


def tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data, mode in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def main(busybox, name, path):
    layer = tar([("busybox", open(busybox, "rb").read(), 0o755)])
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/busybox", "sleep", "1000000"]},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with open(path, "wb") as file:
        file.write(tar([("manifest.json", manifest, 0o644), ("config.json", config, 0o644), ("layer.tar", layer, 0o644)]))


main(*sys.argv[1:])
