#!/usr/bin/env bash
# Containers of a real Docker and a real LXC, and the task of a real containerd with the annotations of a pod's sandbox. Run by
# tests/containers.sh in mount, network and PID namespaces of their own, so that nothing of the machine is touched:
#
#   tests/containers/docker.sh ROOT PROGRAM   ROOT has the unpacked packages, PROGRAM is netns-agent
set -euo pipefail

root=$1 program=$2 parent=/netns-agent-test
fail() { echo "containers.sh: docker: $*" >&2; exit 1; }
mount --make-rprivate /
# Docker, containerd and the agent use their default paths.
for dir in /run /var/lib; do mount -t tmpfs tmpfs "$dir"; done
mkdir -p /run/netns /run/image/bin
export PATH=$root/usr/bin:$root/usr/sbin:/usr/bin:/bin:/usr/sbin:/sbin
ip link set lo up

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
  local limit=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $limit ] || return 1
    sleep 0.02
  done
}
printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >/run/containerd.toml
containerd --config /run/containerd.toml >/run/containerd.log 2>&1 &
wait_for 30 ctr version || fail "containerd does not answer: $(tail -1 /run/containerd.log)"
dockerd --containerd /run/containerd/containerd.sock --iptables=false --ip6tables=false --bridge=none \
  --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "$parent" >/run/dockerd.log 2>&1 &
wait_for 60 docker version || fail "dockerd does not answer: $(tail -1 /run/dockerd.log)"
cp "$root/bin/busybox" /run/image/bin/
tar -C /run/image -c . | docker import - demo >/dev/null
docker network create --subnet 198.51.100.0/28 front >/dev/null

NETNS_AGENT_LOG_LEVEL=warn "$program" watch -o json --watch-pods false >/run/events &
has() { grep "$1" /run/events | grep -q "$2"; }
wait_for 30 has Synced . || fail "the agent does not start"
docker run -d --name web --network front demo /bin/busybox sleep 600 >/dev/null || fail "docker could not run a container"
# No flag is needed on a Docker host.
"$program" list --watch-pods false >/run/list
grep -q 'docker/web' /run/list || fail "list lacks docker/web: $(cat /run/list)"
wait_for 10 has '"runtime":"docker","name":"web"' '"end":"host"' || fail "watch lacks docker/web: $(tail -3 /run/events)"
python3 - "$(docker inspect -f '{{.State.StartedAt}}' web)" <<'END'
import datetime, json, sys
def at(text):
    return datetime.datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00").timestamp()
started = at(sys.argv[1])
events = [json.loads(line) for line in open("/run/events")]
named = [e for e in events if (e.get("interface", {}).get("container") or {}).get("name") == "web"]
first = {}
for e in named:
    end = e["interface"]["container"]["end"]
    first.setdefault(end, at(e["time"]))
delay = (max(first.values()) - started) * 1000
print(f"Docker's container was named {delay:.1f} ms after its start, at the ends {sorted(first)}, in the networks",
      sorted({str(e["interface"]["network"]) for e in named}))
container = named[-1]["interface"]["container"]
sys.exit(delay > 100 or sorted(first) != ["container", "host"] or (container["runtime"], container["image"]) != ("docker", "demo"))
END
# A container in another's namespace, and one in the host's, own nothing.
docker run -d --name beside --network container:web demo /bin/busybox sleep 600 >/dev/null
docker run -d --name outside --network host demo /bin/busybox sleep 600 >/dev/null
"$program" list --watch-pods false -o json --exclude-interfaces= >/run/list
grep -Eq '"(beside|outside)"' /run/list && fail "a container owns a namespace that is not its own"
before=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' web)
docker restart -t 0 web >/dev/null
after=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' web)
[ "$before" != "$after" ] || fail "the restart kept the namespace"
named_again() { "$program" list --watch-pods false --netns "$(basename "$after")" | grep -q docker/web; }
wait_for 5 named_again || fail "the restarted container has no name: $("$program" list --watch-pods false)"
docker rm -f web beside outside >/dev/null

# The namespace of a pod as containerd's CRI makes it, and the sandbox with the annotations of the CRI.
pod=cni-26a5a60e-766c-44c4-8125-5b68aecf097d
ip netns add "$pod"
ip link add veth0 type veth peer name eth0 netns "$pod"
ctr -n k8s.io run -d --rootfs --cgroup "$parent/sandbox" --with-ns "network:/var/run/netns/$pod" \
  --annotation io.kubernetes.cri.container-type=sandbox --annotation io.kubernetes.cri.sandbox-name=web-0 \
  --annotation io.kubernetes.cri.sandbox-namespace=shop --annotation io.kubernetes.cri.sandbox-uid=6f1e \
  /run/image sandbox /bin/busybox sleep 600 || fail "containerd could not run a task"
record=/run/containerd/io.containerd.runtime.v2.task/k8s.io/sandbox/config.json
wait_for 5 has '"web-0"' '"runtime-record"' || fail "the pod of containerd's record is not known: $(tail -1 /run/events)"
python3 - "$record" <<'END'
import datetime, json, os, sys
events = [json.loads(line) for line in open("/run/events")]
named = [e for e in events if (e.get("interface", {}).get("pod") or {}).get("name") == "web-0"]
first = datetime.datetime.fromisoformat(named[0]["time"][:26] + "+00:00").timestamp()
delay = (first - os.stat(sys.argv[1]).st_mtime) * 1000
pod = named[-1]["interface"]["pod"]
print(f"containerd's pod was named {delay:.1f} ms after its record")
sys.exit(delay > 100 or (pod["namespace"], pod["uid"]) != ("shop", "6f1e"))
END

# A task as nerdctl makes it: runc makes a namespace without a name, and a hook moves a veth into it.
ctr run -d --rootfs --cgroup "$parent/nerdctl-box" --annotation nerdctl/name=shop --annotation nerdctl/namespace=default \
  /run/image nerdctl-box /bin/busybox sleep 600 || fail "containerd could not run nerdctl's task"
process=$(cat /run/containerd/io.containerd.runtime.v2.task/default/nerdctl-box/init.pid)
ip link add nerd0 type veth peer name eth0 netns "$process"
"$program" list --watch-pods false --proc /proc --include-owner nerdctl/shop -o name >/run/list || fail "list has faults"
printf '%s/eth0\nhost/nerd0\n' "$(readlink "/proc/$process/ns/net")" | sort | diff - <(sort /run/list) ||
  fail "nerdctl's container has no name"

# LXC names the link in the configuration, and the namespace has no name.
name=netns-agent-test
mkdir -p "/var/lib/lxc/$name" /var/lib/rootfs /run/image/{proc,sys,dev,etc,tmp}
# lxc NAME COMMAND...: the packages' programs, with their library.
lxc() { LD_LIBRARY_PATH=$(dirname "$(find "$root/usr/lib" -name 'liblxc.so.1')") timeout 60 "$root/usr/bin/lxc-$1" -P /var/lib/lxc -n "$name" "${@:2}"; }
cat >"/var/lib/lxc/$name/config" <<END
lxc.uts.name = box
lxc.rootfs.path = dir:/run/image
lxc.rootfs.mount = /var/lib/rootfs
lxc.init.cmd = /bin/busybox sleep 600
lxc.net.0.type = veth
lxc.net.0.flags = up
lxc.net.0.hwaddr = 00:16:3e:12:34:56
lxc.net.0.veth.pair = lxcweb0
END
lxc start || fail "LXC could not run a container"
wait_for 10 has '"runtime":"lxc"' '"end":"host"' || fail "LXC's container has no name: $(tail -1 /run/events)"
lxc stop -k || fail "LXC could not stop a container"
wait_for 10 has '"Deleted"' '"name":"lxcweb0".*"runtime":"lxc"' || fail "the deleted host end lost LXC's container: $(tail -2 /run/events)"

# A thousand namespaces without a name, seen by a user with two capabilities and without any directory.
for number in $(seq 1000); do
  unshare --net sleep 600 &
  inside=$!
  until [ "$(readlink "/proc/$inside/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do :; done
  ip link add "un$number" type veth peer name eth0 netns "$inside"
done
cp "$program" /run/netns-agent
two=+net_admin,+net_broadcast
setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set "-all,$two" --inh-caps "-all,$two" --ambient-caps "-all,$two" \
  /run/netns-agent list --watch-pods false --netns-dir /run/nowhere --cni-cache-dir= --container-dir= -o name >/run/list ||
  fail "a user with two capabilities gets no list"
found=$(grep -c '^nsid:[0-9]*/eth0$' /run/list)
[ "$found" -ge 1000 ] || fail "uid 65534 sees $found of 1,000 namespaces without a name"
echo "uid 65534 sees $found namespaces without a name, with two capabilities"
echo "docker.sh: passed"
