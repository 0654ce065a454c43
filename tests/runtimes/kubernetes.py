"""An API server with the pods of one node, for an agent that names pods by their processes."""
import http.server, json, pathlib, threading


def serve(namespace, pods):
    """Answers lists of pods (names and uids), and watches without an event, until the process ends. Returns the arguments of the
    agent."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path, _, query = self.path.partition("?")
            if "watch=" in query:
                self.answer("")
                threading.Event().wait()
            elif path == "/version":
                texts = ("gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")
                self.answer(json.dumps({"major": "1", "minor": "20"} | dict.fromkeys(texts, "")))
            elif path == "/api/v1/pods":
                items = [pod(namespace, *one) for one in pods.items()]
                self.answer(json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}, "items": items}))
            else:
                self.send_error(404)

        def answer(self, text):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kubeconfig = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    pathlib.Path("/run/kubeconfig").write_text(json.dumps(kubeconfig))
    return ["--kubeconfig", "/run/kubeconfig", "--node-name", "node-1", "--watch-resource-claims", "false"]


def pod(namespace, name, uid):
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": "7", "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {"nodeName": "node-1", "containers": []},
        "status": {"phase": "Running"},
    }
