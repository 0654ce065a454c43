#!/usr/bin/env python3
"""Checks the Helm chart, the files generated from the chart, and the examples in deploy/.

    tests/chart.sh            runs all checks
    tests/chart.sh --write    generates the table in the chart's README, the descriptions in values.schema.json and
                              deploy/manifests, then runs all checks
"""
import json, os, pathlib, re, shlex, shutil, subprocess, sys, tempfile, unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/chart"))
from plugin import Plugin  # noqa: E402, F401: unittest finds the class in this module
CHART = ROOT / "charts/netns-agent"
MANIFEST = ROOT / "deploy/manifests/netns-agent.yaml"
README = CHART / "README.md"
SCHEMA = CHART / "values.schema.json"
BEGIN, END = "<!-- values: written by tests/chart.sh --write -->", "<!-- end of values -->"
CI = sorted((CHART / "ci").glob("*-values.yaml"))
# Settings with a chart value of their own, or fixed in a pod.
OWNED = {"engine", "interfaces", "exclude-interfaces", "interface-ips", "include-netns", "exclude-netns", "exclude-host-ends", "include-owner", "exclude-owner",
         "pod-labels", "pod-annotations", "netns-dir",
         "cni-cache-dir", "export-interval", "admin-address", "node-name", "kubeconfig", "log-level", "log-format", "protocol-stats",
         "metrics-address", "metrics-tls-certificate", "metrics-tls-key", "metrics-tls-client-ca", "metrics-authorization",
         "otlp-endpoint", "otlp-protocol", "otlp-compression", "otlp-headers", "otlp-certificate",
         "otlp-client-certificate", "otlp-client-key", "watch-pods", "watch-resource-claims", "admin-socket", "state-dir"}


def run(*args, fails=False):
    done = subprocess.run([*map(str, args)], capture_output=True, text=True, timeout=60)
    if (done.returncode != 0) != fails:
        raise AssertionError(f"{' '.join(map(str, args))}: {done.stdout}{done.stderr}")
    return done.stderr if fails else done.stdout


def helm(*args, fails=False):
    return run("helm", *args, fails=fails)


class UniqueKeys(yaml.SafeLoader):
    """Refuses a key that a mapping has twice, as API servers do with server-side apply."""
    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise AssertionError(f"a key occurs twice: {sorted(keys)}")
        return super().construct_mapping(node, deep)


def template(*args, name="netns-agent"):
    return [d for d in yaml.safe_load_all(helm("template", name, CHART, "-n", "netns-agent", *args)) if d]


def with_values(**values):
    """The text of the chart's objects with these values."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        return helm("template", "netns-agent", CHART, "-n", "netns-agent", "-f", file.name)


def of_kind(documents, kind):
    return [d for d in documents if d["kind"] == kind]


def container(documents):
    (daemonset,) = of_kind(documents, "DaemonSet")
    (only,) = daemonset["spec"]["template"]["spec"]["containers"]
    return only


def environment(documents):
    return {e["name"]: e.get("value") for e in container(documents)["env"]}


def config(documents):
    (configmap,) = of_kind(documents, "ConfigMap")
    return yaml.safe_load(configmap["data"]["config.yaml"])


def values_table():
    """Rows (path, default, description) of values.yaml; `# --` starts a description, as in helm-docs."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    rows, path, text = [], [], ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        if comment := re.match(r"\s*# -- (.*)", line):
            text = comment[1]
        elif text and (more := re.match(r"\s*# (.*)", line)):
            text += " " + more[1]
        elif key := re.match(r"(\s*)([A-Za-z]+):", line):
            path = path[: len(key[1]) // 2] + [key[2]]
            value = values
            for part in path:
                value = value.get(part) if isinstance(value, dict) else None
            if text:
                shown = json.dumps(value).replace("|", "\\|")
                rows.append((".".join(path), "see values.yaml" if len(shown) > 60 else f"`{shown}`", text.replace("|", "\\|")))
            text = ""
    return rows


def leaves():
    """The rows of values_table without groups of values."""
    rows = values_table()
    return [row for row in rows if not any(other[0].startswith(row[0] + ".") for other in rows)]


def readme_values():
    rows = "\n".join(f"| `{key}` | {default} | {text} |" for key, default, text in leaves())
    return f"{BEGIN}\n| value | default | |\n|---|---|---|\n{rows}\n{END}"


def described_schema():
    """The text of values.schema.json with the descriptions of values.yaml."""
    schema = json.loads(SCHEMA.read_text())
    for path, _, text in values_table():
        node = schema
        for key in path.split("."):
            node = node["properties"][key]
        rest = {name: value for name, value in node.items() if name != "description"}
        node.clear()
        node.update({"description": text.replace("\\|", "|")} | rest)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def manifest():
    """The chart's objects without Helm's labels, in a namespace that admits the pods."""
    text = helm("template", "netns-agent", CHART, "-n", "netns-agent", "--skip-tests")
    text = re.sub(r"^# Source:.*\n", "", text, flags=re.M)
    text = re.sub(r"^ *(helm.sh/chart|app.kubernetes.io/managed-by): .*\n", "", text, flags=re.M)
    return (
        "# Rendered from charts/netns-agent by tests/chart.sh --write. Apply with: kubectl apply -f netns-agent.yaml\n"
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: netns-agent\n  labels:\n"
        "    # The level that admits hostNetwork, hostPath and added capabilities.\n"
        "    pod-security.kubernetes.io/enforce: privileged\n" + text
    )


class Chart(unittest.TestCase):
    maxDiff = None

    def test_lint_passes_for_every_ci_file(self):
        self.assertGreaterEqual(len(CI), 5)
        for values in CI:
            with self.subTest(values.name):
                helm("lint", "--strict", CHART, "-f", values)

    def test_every_ci_file_renders_one_daemonset(self):
        """For the oldest, an old and the newest Kubernetes."""
        for values in CI:
            for version in ("1.20.0", "1.28.0", "1.36.0"):
                with self.subTest(f"{values.name} on {version}"):
                    documents = template("-f", values, "--kube-version", version)
                    self.assertEqual(len(of_kind(documents, "DaemonSet")), 1)

    def test_kubernetes_before_1_20_is_refused(self):
        self.assertIn("1.20", helm("template", "x", CHART, "--kube-version", "1.19.0", fails=True))

    def test_unknown_and_invalid_values_are_refused(self):
        """The message names the value."""
        for setting, named in {
            "imagee.tag=a": "imagee", "image.tagg=a": "tagg", "otlp.endpont=x": "endpont", "resources.limit.memory=1": "limit",
            "livenessProbe.httpGet=x": "httpGet", "config.admin-address=x": "admin-address", "config.nonsense=1": "nonsense",
            "engine=magic": "/engine", "otlp.endpoint=nowhere:4317": "/otlp/endpoint", "otlp.interval=15": "/otlp/interval",
            "otlp.protocol=http/xml": "/otlp/protocol", "admin.port=99999": "/admin/port", "admin.host=localhost": "/admin/host",
            "hostPaths.netns[0]=run/netns": "/hostPaths/netns/0", "hostPaths.cniCache[0]=/results": "/hostPaths/cniCache/0",
            "nameOverride=A": "/nameOverride", "fullnameOverride=a_b": "/fullnameOverride", "rollOnConfigChange=no": "/rollOnConfigChange", "updateStrategy.rollingUpdate.maxUnavailble=1": "maxUnavailble",
            "updateStrategy.rollingUpdate.maxUnavailable=few": "/updateStrategy/rollingUpdate/maxUnavailable",
            "livenessProbe.successThreshold=2": "successThreshold", "podMonitor.joblabel=x": "joblabel",
            "prometheusRule.overrides.PodInterfaceDown.form=1": "form", "namespaceOverride=Monitoring": "/namespaceOverride",
        }.items():
            with self.subTest(setting):
                self.assertIn(f"'{named}'", helm("template", "x", CHART, "--set", setting, fails=True))

    def test_contradictions_are_refused_with_a_remedy(self):
        for settings, answer in {
            "hostNetwork=false": "set admin.host to 0.0.0.0",
            "serviceMonitor.enabled=true": "needs service.enabled",
            "podMonitor.enabled=true": "set metricsServer.host, or admin.host, to 0.0.0.0",
            "metricsServer.host=0.0.0.0,metricsServer.port=9465": "set another",
            "metricsServer.tls.clientCA=ca.crt": "set metricsServer.tls.secret",
            "metricsServer.authorization=kubernetes": "set metricsServer.host",
            "metricsServer.host=0.0.0.0,metricsServer.authorization=kubernetes": "set metricsServer.tls.secret",
            "updateStrategy.rollingUpdate.maxSurge=1": "set maxUnavailable instead",
            "updateStrategy.rollingUpdate.maxSurge=10%": "set maxUnavailable instead",
            "interfaces[0]=eth0,interfaceIPs[0]=10.0.0.0/8": "set one of them",
            r"podLabels.app\.kubernetes\.io/name=x": "set nameOverride", r"commonLabels.app\.kubernetes\.io/instance=x": "commonLabels: ",
            r"service.labels.app\.kubernetes\.io/name=x": "service.labels: ", "resourceQuota.enabled=true,priorityClassName=": "needs priorityClassName",
            "prometheusRule.enabled=true,prometheusRule.disabled[0]=PodDown": "the alerts are NetnsAgentDown,",
            "prometheusRule.enabled=true,prometheusRule.overrides.PodDown.for=1m": "there is no alert PodDown",
        }.items():
            with self.subTest(settings):
                self.assertIn(answer, helm("template", "x", CHART, "--set", settings, fails=True))

    def test_role_allows_reading_pods_only(self):
        (role,) = of_kind(template(), "ClusterRole")
        self.assertEqual(role["rules"], [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}])
        documents = template("--set", "watchPods=false")
        self.assertEqual(of_kind(documents, "ClusterRole") + of_kind(documents, "ClusterRoleBinding"), [])
        (daemonset,) = of_kind(documents, "DaemonSet")
        self.assertFalse(daemonset["spec"]["template"]["spec"]["automountServiceAccountToken"])
        self.assertIs(config(documents)["watch-pods"], False)

    def test_claims_are_watched_on_request(self):
        documents = template("--set", "watchResourceClaims=true")
        (role,) = of_kind(documents, "ClusterRole")
        rule = {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims"], "verbs": ["list", "watch"]}
        self.assertIn(rule, role["rules"])
        self.assertNotIn("watch-resource-claims", config(documents))
        self.assertIs(config(template())["watch-resource-claims"], False)
        alone = template("--set", "watchResourceClaims=true,watchPods=false")
        self.assertEqual(of_kind(alone, "ClusterRole"), [])

    def test_each_engine_has_its_capabilities_only(self):
        for engine, added in {"nsid": ["NET_ADMIN", "NET_BROADCAST"], "setns": ["SYS_ADMIN"],
                              "auto": ["NET_ADMIN", "NET_BROADCAST", "SYS_ADMIN"]}.items():
            with self.subTest(engine):
                documents = template("--set", f"engine={engine}")
                security = container(documents)["securityContext"]
                self.assertEqual(security["capabilities"], {"drop": ["ALL"], "add": added})
                self.assertEqual(config(documents)["engine"], engine)

    def test_pod_is_confined(self):
        documents = template()
        (daemonset,) = of_kind(documents, "DaemonSet")
        pod = daemonset["spec"]["template"]["spec"]
        security = container(documents)["securityContext"]
        self.assertTrue(security["readOnlyRootFilesystem"])
        self.assertFalse(security["allowPrivilegeEscalation"] or security["privileged"])
        self.assertEqual(security["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertTrue(pod["hostNetwork"])
        self.assertFalse({"hostPID", "hostIPC"} & set(pod))
        self.assertFalse(pod["enableServiceLinks"])
        mounts = {m["name"]: m for m in container(documents)["volumeMounts"]}
        self.assertEqual(mounts["netns"]["mountPropagation"], "HostToContainer")
        self.assertTrue(all(m["readOnly"] for m in mounts.values()))
        host_paths = {v["hostPath"]["path"] for v in pod["volumes"] if "hostPath" in v}
        self.assertEqual(host_paths, {"/var/run/netns", "/var/lib/cni"})

    def test_protocol_stats_need_host_pid(self):
        documents = template("--set", "protocolStats=true")
        (daemonset,) = of_kind(documents, "DaemonSet")
        self.assertTrue(daemonset["spec"]["template"]["spec"]["hostPID"])
        self.assertEqual(container(documents)["securityContext"], container(template())["securityContext"])
        self.assertTrue(config(documents)["protocol-stats"])

    def test_probes_reach_the_admin_server(self):
        for settings, host in {"admin.port=9465": "127.0.0.1", "admin.host=0.0.0.0": "127.0.0.1", "admin.host=[::1]": "::1",
                               "admin.host=10.1.2.3": "10.1.2.3", "admin.host=0.0.0.0,hostNetwork=false": None}.items():
            with self.subTest(settings):
                documents = template("--set", settings)
                self.assertEqual(container(documents)["readinessProbe"]["httpGet"].get("host"), host)
                self.assertEqual(container(documents)["livenessProbe"]["httpGet"].get("host"), host)

    def test_otlp_values_become_variables_and_mounts(self):
        documents = template("-f", CHART / "ci/otlp-tls-values.yaml")
        env = environment(documents)
        self.assertEqual(env["OTEL_EXPORTER_OTLP_ENDPOINT"], "https://collector.observability.svc:4318")
        self.assertEqual(env["OTEL_EXPORTER_OTLP_PROTOCOL"], "http/protobuf")
        self.assertEqual(env["OTEL_RESOURCE_ATTRIBUTES"], "deployment.environment.name=production,k8s.cluster.name=prod")
        mounts = [m["mountPath"] for m in container(documents)["volumeMounts"]]
        for variable in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"):
            path = env["OTEL_EXPORTER_OTLP_" + variable]
            self.assertTrue(any(path.startswith(m + "/") for m in mounts), path)
        self.assertEqual(config(documents)["pod-labels"], ["app.kubernetes.io/*", "team"])
        self.assertNotIn("OTEL_EXPORTER_OTLP_ENDPOINT", environment(template()))

    def test_protocol_is_inferred_by_default(self):
        """Port 4318, or a vendor's https URL with a path, needs no protocol."""
        documents = template("--set", "otlp.endpoint=https://otlp.example/otlp")
        self.assertNotIn("OTEL_EXPORTER_OTLP_PROTOCOL", environment(documents))
        documents = template("--set", "otlp.endpoint=http://a:4317,otlp.protocol=grpc")
        self.assertEqual(environment(documents)["OTEL_EXPORTER_OTLP_PROTOCOL"], "grpc")

    def test_only_needed_changes_replace_pods(self):
        """Settings that the agent reloads replace no pod, unless rollOnConfigChange is always."""
        def checksum(*settings):
            (daemonset,) = of_kind(template("--set", ",".join(settings) or "podLabels.a=b"), "DaemonSet")
            return daemonset["spec"]["template"]["metadata"]["annotations"].get("checksum/config")
        self.assertEqual(checksum(), checksum("podLabels.c=d"))
        self.assertNotEqual(checksum(), checksum("otlp.interval=1m"))
        for reloaded in ("interfaces[0]=a", "excludeInterfaces[0]=a", "interfaceIPs[0]=10.0.0.0/8", "includeNetns[0]=a", "excludeNetns[0]=a", "includeOwners[0]=a/*", "excludeOwners[0]=a/b",
                         "excludeHostEnds=true", "attach.labels[0]=a", "attach.annotations[0]=a"):
            with self.subTest(reloaded):
                self.assertEqual(checksum(), checksum(reloaded))
                self.assertNotEqual(checksum("rollOnConfigChange=always"), checksum("rollOnConfigChange=always", reloaded))
        self.assertIsNone(checksum("rollOnConfigChange=never"))
        # The same settings as those that the program reloads.
        sentence = re.search(r"or SIGHUP, applies (.*?) at\s+once", (ROOT / "docs/configuration.md").read_text(), flags=re.S)[1]
        omitted = re.search(r"omit \$config (.*?) }}", (CHART / "templates/_helpers.tpl").read_text())[1]
        self.assertEqual(set(re.findall(r"`(.*?)`", sentence)), set(re.findall(r'"(.*?)"', omitted)))

    def test_umbrella_chart_can_disable_it(self):
        """A parent chart's condition and further global values pass the schema, with Helm 3 and 4."""
        for program in ("helm", "helm3"):
            for enabled in (True, False):
                with self.subTest(f"{program}, enabled: {enabled}"), tempfile.TemporaryDirectory() as folder:
                    parent = pathlib.Path(folder)
                    shutil.copytree(CHART, parent / "charts/netns-agent")
                    (parent / "Chart.yaml").write_text(yaml.safe_dump({
                        "apiVersion": "v2", "name": "parent", "version": "1.0.0",
                        "dependencies": [{"name": "netns-agent", "version": "0.1.0", "condition": "netns-agent.enabled"}]}))
                    (parent / "values.yaml").write_text(yaml.safe_dump({
                        "global": {"storageClass": "fast", "imageRegistry": "mirror.example"}, "netns-agent": {"enabled": enabled}}))
                    documents = [d for d in yaml.safe_load_all(run(program, "template", "x", parent)) if d]
                    self.assertEqual(len(of_kind(documents, "DaemonSet")), int(enabled))

    def test_both_helms_render_the_same(self):
        for values in CI:
            with self.subTest(values.name):
                args = ("template", "x", CHART, "-f", values, "--kube-version", "1.30.0")
                old, new = ({(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(run(program, *args)) if d} for program in ("helm3", "helm"))
                self.assertEqual(old, new)

    def test_test_pod_outlives_its_success(self):
        """Helm 3 reads the log of `helm test --logs` after the deletion policies."""
        (pod,) = of_kind(template(), "Pod")
        self.assertEqual(pod["metadata"]["annotations"]["helm.sh/hook-delete-policy"], "before-hook-creation")

    def test_scrapers_reach_the_metrics_server_alone(self):
        documents = template("--set", "metricsServer.host=0.0.0.0,metricsServer.tls.secret=cert,metricsServer.tls.clientCA=ca.crt",
                             "--set", "service.enabled=true,podMonitor.enabled=true,networkPolicy.enabled=true")
        settings = config(documents)
        self.assertEqual((settings["admin-address"], settings["metrics-address"]), ("127.0.0.1:9465", "0.0.0.0:9466"))
        (mount,) = [m for m in container(documents)["volumeMounts"] if m["name"] == "metrics-tls"]
        for key, file in {"certificate": "tls.crt", "key": "tls.key", "client-ca": "ca.crt"}.items():
            self.assertEqual(settings["metrics-tls-" + key], f"{mount['mountPath']}/{file}")
        ports = {port["name"]: port["containerPort"] for port in container(documents)["ports"]}
        self.assertEqual(ports, {"metrics": 9466, "admin": 9465})
        self.assertEqual(container(documents)["livenessProbe"]["httpGet"]["port"], 9465)
        (service,), (policy,), (monitor,) = (of_kind(documents, kind) for kind in ("Service", "NetworkPolicy", "PodMonitor"))
        self.assertEqual(service["spec"]["ports"][0]["port"], 9466)
        self.assertEqual(policy["spec"]["ingress"][0]["ports"][0]["port"], 9466)
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        self.assertEqual((endpoint["port"], endpoint["scheme"]), ("metrics", "https"))

    def test_scrapers_get_a_token_and_its_right(self):
        """The agent may create both reviews; each monitor names a token, in its namespace, of an account that may get /metrics."""
        tokens = ("--set", "metricsServer.host=0.0.0.0,metricsServer.tls.secret=cert,metricsServer.authorization=kubernetes,watchPods=false")
        monitors = ("--set", "service.enabled=true,serviceMonitor.enabled=true,podMonitor.enabled=true,podMonitor.namespace=prometheus")
        documents = template(*tokens, *monitors)
        self.assertEqual(config(documents)["metrics-authorization"], "kubernetes")
        (daemonset,) = of_kind(documents, "DaemonSet")
        self.assertTrue(daemonset["spec"]["template"]["spec"]["automountServiceAccountToken"])
        roles = {role["metadata"]["name"]: role["rules"] for role in of_kind(documents, "ClusterRole")}
        self.assertEqual(roles, {
            "netns-agent": [{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
                            {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]}],
            "netns-agent-scraper": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]})
        bound = {b["metadata"]["name"]: {(s["namespace"], s["name"]) for s in b["subjects"]} for b in of_kind(documents, "ClusterRoleBinding")}
        spaces = {("netns-agent", "netns-agent-scraper"), ("prometheus", "netns-agent-scraper")}
        self.assertEqual(bound["netns-agent-scraper"], spaces)
        for kind in ("Secret", "ServiceAccount"):
            named = {(d["metadata"]["namespace"], d["metadata"]["name"]) for d in of_kind(documents, kind)}
            self.assertEqual(named - {("netns-agent", "netns-agent")}, spaces)
        for kind, key in (("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")):
            (monitor,) = of_kind(documents, kind)
            credentials = monitor["spec"][key][0]["authorization"]["credentials"]
            self.assertIn((monitor["metadata"]["namespace"], credentials["name"]), spaces)
        own = template(*tokens, *monitors, "--set", "serviceMonitor.endpoint.bearerTokenFile=/run/token")
        (monitor,) = of_kind(own, "ServiceMonitor")
        self.assertNotIn("authorization", monitor["spec"]["endpoints"][0])
        alone = template(*tokens)
        self.assertEqual([b["metadata"]["name"] for b in of_kind(alone, "ClusterRoleBinding")], ["netns-agent"])
        self.assertEqual(of_kind(alone, "Secret"), [])
        self.assertEqual([d["metadata"]["name"] for d in template() if "scraper" in d["metadata"]["name"]], [])

    def test_socket_is_in_a_directory_of_the_node(self):
        documents = template("--set", "hostPaths.adminSocket=/run/netns-agent/")
        self.assertEqual(config(documents)["admin-socket"], "/run/netns-agent/admin.sock")
        (mount,) = [m for m in container(documents)["volumeMounts"] if m["name"] == "admin-socket"]
        self.assertEqual((mount["mountPath"], mount.get("readOnly")), ("/run/netns-agent/", None))
        self.assertNotIn("admin-socket", config(template()))

    def test_state_is_in_a_directory_of_the_node(self):
        documents = template("--set", "hostPaths.state=/run/netns-agent-state")
        self.assertEqual(config(documents)["state-dir"], "/run/netns-agent-state")
        (mount,) = [m for m in container(documents)["volumeMounts"] if m["name"] == "state"]
        self.assertEqual((mount["mountPath"], mount.get("readOnly")), ("/run/netns-agent-state", None))
        self.assertNotIn("state-dir", config(template()))

    def test_names_need_no_directory_of_the_node(self):
        documents = template("--set-json", "hostPaths.netns=[]")
        self.assertNotIn("netns-dir", config(documents))
        self.assertEqual([m["name"] for m in container(documents)["volumeMounts"] if m["name"].startswith("netns")], [])
        self.assertEqual(config(template())["netns-dir"], ["/var/run/netns"])
        self.assertIn("hostPaths.netns", helm("template", "x", CHART, "--set-json", "hostPaths.netns=[]", "--set", "engine=setns", fails=True))

    def test_processes_are_seen_on_request(self):
        documents = template("--set", "config.proc=/proc,openShift.enabled=true")
        (daemonset,) = of_kind(documents, "DaemonSet")
        self.assertTrue(daemonset["spec"]["template"]["spec"]["hostPID"])
        self.assertIn("SYS_PTRACE", container(documents)["securityContext"]["capabilities"]["add"])
        (scc,) = of_kind(documents, "SecurityContextConstraints")
        self.assertEqual((scc["allowHostPID"], "SYS_PTRACE" in scc["allowedCapabilities"]), (True, True))
        self.assertNotIn("SYS_PTRACE", container(template())["securityContext"]["capabilities"]["add"])

    def test_second_release_stays_pending(self):
        """The pods declare the port of the node, so the scheduler keeps a second agent from the node."""
        (port,) = container(template("--set", "admin.port=19465"))["ports"]
        self.assertEqual((port["containerPort"], port["hostPort"]), (19465, 19465))
        (port,) = container(template("--set", "hostNetwork=false,admin.host=0.0.0.0"))["ports"]
        self.assertNotIn("hostPort", port)

    def test_labels_and_annotations_are_unique(self):
        """A label of the user replaces the chart's; the YAML has no key twice."""
        text = with_values(
            podLabels={"app.kubernetes.io/component": "x", "of": "{{ .Release.Name }}"}, commonLabels={"app.kubernetes.io/version": "next"},
            podAnnotations={"kubectl.kubernetes.io/default-container": "z"}, admin={"host": "0.0.0.0"},
            podMonitor={"enabled": True, "labels": {"app.kubernetes.io/instance": "prometheus"}})
        documents = [d for d in yaml.load_all(text, Loader=UniqueKeys) if d]
        (daemonset,) = of_kind(documents, "DaemonSet")
        metadata = daemonset["spec"]["template"]["metadata"]
        self.assertEqual(metadata["labels"]["app.kubernetes.io/component"], "x")
        self.assertEqual(metadata["labels"]["app.kubernetes.io/version"], "next")
        self.assertEqual(metadata["labels"]["of"], "netns-agent")
        self.assertEqual(metadata["annotations"]["kubectl.kubernetes.io/default-container"], "z")
        self.assertLessEqual(daemonset["spec"]["selector"]["matchLabels"].items(), metadata["labels"].items())
        (monitor,) = of_kind(documents, "PodMonitor")
        self.assertEqual(monitor["metadata"]["labels"]["app.kubernetes.io/instance"], "prometheus")

    def test_host_directories_of_several_runtimes(self):
        """Docker's directory beside the default, and results in two places; a directory below another is not mounted twice."""
        documents = template("--set", "hostPaths.netns={/var/run/netns,/var/run/docker/netns},"
                                      "hostPaths.cniCache={/var/lib/cni/results,/var/lib/cni/cache/results,/opt/cni/results/}")
        self.assertEqual(config(documents)["netns-dir"], ["/var/run/netns", "/var/run/docker/netns"])
        self.assertEqual(config(documents)["cni-cache-dir"], ["/var/lib/cni/results", "/var/lib/cni/cache/results", "/opt/cni/results/"])
        (daemonset,) = of_kind(documents, "DaemonSet")
        host = {v["name"]: v["hostPath"]["path"] for v in daemonset["spec"]["template"]["spec"]["volumes"] if "hostPath" in v}
        mounts = {m["mountPath"]: (host[m["name"]], m.get("mountPropagation")) for m in container(documents)["volumeMounts"] if m["name"] in host}
        self.assertEqual(mounts, {
            "/var/run/netns": ("/var/run/netns", "HostToContainer"), "/var/run/docker/netns": ("/var/run/docker/netns", "HostToContainer"),
            "/var/lib/cni": ("/var/lib/cni", None), "/opt/cni": ("/opt/cni", None)})

    def test_scc_admits_exactly_the_pod(self):
        """Each field of the SecurityContextConstraints against the rendered pods, those of `helm test` included."""
        for args in (["-f", CHART / "ci/openshift-values.yaml"], ["--set", "openShift.enabled=true,hostNetwork=false,admin.host=0.0.0.0"],
                     ["--set", "openShift.enabled=true,engine=auto,watchPods=false"]):
            with self.subTest(args[-1]):
                documents = template(*args)
                (scc,) = of_kind(documents, "SecurityContextConstraints")
                (daemonset,), (test,) = of_kind(documents, "DaemonSet"), of_kind(documents, "Pod")
                pods = [daemonset["spec"]["template"]["spec"], test["spec"]]
                kinds = {kind for pod in pods for volume in pod["volumes"] for kind in set(volume) - {"name"}}
                if pods[0]["automountServiceAccountToken"]:
                    kinds.add("projected")  # of the token, which the API server adds
                self.assertEqual(scc["volumes"], sorted(kinds))
                self.assertEqual(scc["allowHostDirVolumePlugin"], "hostPath" in kinds)
                for field, key in (("allowHostNetwork", "hostNetwork"), ("allowHostPID", "hostPID"), ("allowHostIPC", "hostIPC")):
                    self.assertEqual(scc[field], any(pod.get(key, False) for pod in pods), field)
                containers = [one for pod in pods for one in pod["containers"]]
                self.assertEqual(scc["allowHostPorts"], any("hostPort" in port for one in containers for port in one.get("ports", [])))
                for security in (one["securityContext"] for one in containers):
                    self.assertEqual(scc["allowedCapabilities"], security["capabilities"]["add"])
                    self.assertEqual(scc["requiredDropCapabilities"], security["capabilities"]["drop"])
                    self.assertEqual(scc["allowPrivilegedContainer"], security["privileged"])
                    self.assertEqual(scc["allowPrivilegeEscalation"], security["allowPrivilegeEscalation"])
                    self.assertEqual(scc["readOnlyRootFilesystem"], security["readOnlyRootFilesystem"])
                    self.assertEqual((scc["runAsUser"]["type"], security["runAsUser"]), ("RunAsAny", 0))
                    self.assertEqual((scc["seccompProfiles"], security["seccompProfile"]["type"]), (["runtime/default"], "RuntimeDefault"))
                for pod in pods:
                    self.assertEqual((scc["seLinuxContext"]["type"], pod["securityContext"]["seLinuxOptions"]["type"]), ("RunAsAny", "spc_t"))
                (binding,) = of_kind(documents, "RoleBinding")
                (role,) = [d for d in of_kind(documents, "ClusterRole") if d["metadata"]["name"] == binding["roleRef"]["name"]]
                self.assertEqual((role["rules"][0]["resourceNames"], role["rules"][0]["verbs"]), ([scc["metadata"]["name"]], ["use"]))
                self.assertEqual(binding["subjects"][0]["name"], pods[0]["serviceAccountName"])
        self.assertEqual(of_kind(template(), "SecurityContextConstraints"), [])

    def test_service_values_reach_their_objects(self):
        documents = template("-f", CHART / "ci/service-values.yaml")
        self.assertEqual(of_kind(documents, "ConfigMap"), [])
        (daemonset,) = of_kind(documents, "DaemonSet")
        pod = daemonset["spec"]["template"]["spec"]
        self.assertNotIn("checksum/config", daemonset["spec"]["template"]["metadata"]["annotations"])
        self.assertEqual(pod["volumes"][0]["configMap"]["name"], "settings")
        self.assertEqual((pod["hostUsers"], pod["runtimeClassName"], pod["schedulerName"]), (True, "runc", "other"))
        (service,) = of_kind(documents, "Service")
        self.assertEqual(service["spec"] | {"selector": None}, {
            "type": "NodePort", "internalTrafficPolicy": "Local", "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"],
            "selector": None, "ports": [{"name": "metrics", "port": 80, "targetPort": "metrics", "nodePort": 30465, "protocol": "TCP"}]})
        (monitor,) = of_kind(documents, "ServiceMonitor")
        spec = monitor["spec"]
        self.assertEqual((spec["targetLimit"], spec["labelLimit"], spec["attachMetadata"]), (1000, 60, {"node": True}))
        self.assertEqual((spec["targetLabels"], spec["podTargetLabels"], spec["selector"]), (["team"], ["tier"], {"matchLabels": {"app": "netns-agent"}}))
        self.assertEqual((spec["endpoints"][0]["scheme"], spec["endpoints"][0]["tlsConfig"]), ("https", {"insecureSkipVerify": True}))
        (policy,) = of_kind(documents, "NetworkPolicy")
        self.assertEqual([rule["ports"][0]["port"] for rule in policy["spec"]["ingress"]], [9465, 8443])
        (vpa,) = of_kind(documents, "VerticalPodAutoscaler")
        self.assertEqual((vpa["spec"]["recommenders"], vpa["spec"]["resourcePolicy"]["containerPolicies"][0]["controlledResources"]), ([{"name": "slow"}], ["memory"]))
        (role,) = of_kind(documents, "ClusterRole")
        self.assertEqual([rule["resources"] for rule in role["rules"]], [["pods"], ["nodes"]])

    def test_security_context_is_merged(self):
        """An override keeps the rest of the least privileges; a startup probe asks the liveness endpoint."""
        agent = container(template("-f", CHART / "ci/openshift-values.yaml"))
        self.assertEqual(agent["securityContext"]["capabilities"], {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_BROADCAST", "SYS_ADMIN"]})
        self.assertTrue(agent["securityContext"]["readOnlyRootFilesystem"])
        self.assertEqual((agent["startupProbe"]["httpGet"]["path"], agent["startupProbe"]["failureThreshold"]), ("/livez", 30))

    def test_new_agent_pods_rename_no_series(self):
        """Labels of the agent's own pod are dropped; node and instance are the node's name; the job is the chart's name."""
        documents = template("--set", "admin.host=0.0.0.0,service.enabled=true,serviceMonitor.enabled=true,podMonitor.enabled=true", name="metrics")
        for kind, key in (("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")):
            (monitor,) = of_kind(documents, kind)
            endpoint = monitor["spec"][key][0]
            # As the operator and Prometheus would relabel a target.
            labels = {"namespace": "monitoring", "pod": "metrics-x7k2p", "container": "netns-agent", "endpoint": "metrics", "service": "metrics",
                      "instance": "10.0.0.1:9465", "job": "netns-agent", "__meta_kubernetes_pod_node_name": "n1"}
            for rule in endpoint["relabelings"]:
                if rule["action"] == "labeldrop":
                    labels = {name: value for name, value in labels.items() if not re.fullmatch(rule["regex"], name)}
                else:
                    labels[rule["targetLabel"]] = labels[rule["sourceLabels"][0]]
            with self.subTest(kind):
                self.assertEqual({name: value for name, value in labels.items() if not name.startswith("__")}, {"instance": "n1", "node": "n1", "job": "netns-agent"})
                self.assertEqual(monitor["spec"]["jobLabel"], "app.kubernetes.io/name")
                self.assertTrue(endpoint["honorLabels"])
        (service,) = of_kind(documents, "Service")
        self.assertEqual(service["metadata"]["labels"]["app.kubernetes.io/name"], "netns-agent")

    def test_priority_class_has_a_quota(self):
        """By default the class of node agents; a quota for clusters that demand one."""
        documents = template("--set", "resourceQuota.enabled=true")
        (daemonset,) = of_kind(documents, "DaemonSet")
        name = daemonset["spec"]["template"]["spec"]["priorityClassName"]
        self.assertEqual(name, "system-node-critical")
        (quota,) = of_kind(documents, "ResourceQuota")
        self.assertEqual(quota["spec"]["scopeSelector"]["matchExpressions"][0]["values"], [name])
        self.assertEqual(of_kind(template(), "ResourceQuota"), [])

    def test_image_has_tag_or_digest(self):
        self.assertEqual(container(template())["image"], "ghcr.io/netns-agent/netns-agent:0.1.0")
        self.assertEqual(container(template("--set", "image.registry=,image.tag=v7"))["image"], "netns-agent/netns-agent:v7")
        digest = container(template("-f", CHART / "ci/setns-values.yaml"))["image"]
        self.assertRegex(digest, r"^registry.example:5000/netns-agent/netns-agent@sha256:[0-9a-f]{64}$")

    def test_chart_accepts_every_setting(self):
        documented = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs/configuration.md").read_text(), flags=re.M))
        schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["config"]["propertyNames"]["enum"]
        self.assertEqual(sorted(documented - OWNED), sorted(schema))
        self.assertLessEqual(OWNED, documented)

    def test_schema_describes_every_value(self):
        """The descriptions in the schema are those of values.yaml."""
        schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        # A subchart's `enabled` has no default: Helm reads the value in the parent chart only.
        self.assertEqual(set(schema), set(values) | {"enabled"})
        self.assertEqual(set(values), {row[0].split(".")[0] for row in values_table()})
        self.assertEqual(SCHEMA.read_text(), described_schema(), "run tests/chart.sh --write")

    def test_every_value_has_an_effect(self):
        """A template reads every value, and a CI file or the list below sets every value."""
        templates = "".join(file.read_text() for file in (CHART / "templates").rglob("*.*"))
        for path, _, _ in leaves():
            with self.subTest(path):
                self.assertRegex(templates, rf"\.{path.split('.')[-1]}\b")
        tried = set().union(*(yaml.safe_load(file.read_text()) for file in CI))
        untried = set(yaml.safe_load((CHART / "values.yaml").read_text())) - tried
        before = template("--set", "admin.host=0.0.0.0")
        changes = {
            "nameOverride": "nameOverride=a", "protocolStats": "protocolStats=true", "watchResourceClaims": "watchResourceClaims=true", "dashboards": "dashboards.enabled=true", "hostPaths": "hostPaths.netns[0]=/a", "resourceQuota": "resourceQuota.enabled=true", "rollOnConfigChange": "rollOnConfigChange=never",
            "nodeSelector": "nodeSelector.a=b", "terminationGracePeriodSeconds": "terminationGracePeriodSeconds=5",
            "livenessProbe": "livenessProbe.periodSeconds=1", "readinessProbe": "readinessProbe.periodSeconds=1",
        }
        self.assertEqual(untried, set(changes))
        for setting in [*changes.values(), "rbac.create=false", "hostPaths.cniCache[0]=/a/b"]:
            with self.subTest(setting):
                self.assertTrue(before != template("--set", "admin.host=0.0.0.0", "--set", setting), "nothing changed")

    def test_dashboards_reach_the_sidecar(self):
        documents = template("--set", "dashboards.enabled=true,dashboards.namespace=grafana,dashboards.annotations.grafana_folder=Network")
        maps = [d for d in of_kind(documents, "ConfigMap") if d["metadata"].get("namespace") == "grafana"]
        self.assertEqual(len(maps), len(list((ROOT / "deploy/grafana").glob("*.json"))))
        for configmap in maps:
            self.assertEqual(configmap["metadata"]["labels"]["grafana_dashboard"], "1")
            self.assertEqual(configmap["metadata"]["annotations"], {"grafana_folder": "Network"})
            ((file, text),) = configmap["data"].items()
            # Grafana needs a file name for each dashboard; Helm keeps the content as it is.
            source = json.loads((ROOT / "deploy/grafana" / file.removeprefix("netns-agent-")).read_text())
            self.assertEqual(json.loads(text), source)

    def test_umbrella_values_reach_the_pod(self):
        documents = template("-f", CHART / "ci/everything-values.yaml")
        (daemonset,) = of_kind(documents, "DaemonSet")
        pod = daemonset["spec"]["template"]["spec"]
        self.assertEqual(pod["imagePullSecrets"], [{"name": "mirror"}, {"name": "shared"}])
        agent, proxy = pod["containers"]
        self.assertEqual(agent["image"], "mirror.example:5000/netns-agent/netns-agent:0.1.0")
        self.assertEqual((proxy["name"], pod["initContainers"][0]["name"]), ("proxy", "wait"))
        names = [d["metadata"]["name"] for d in of_kind(documents, "ConfigMap")]
        self.assertEqual(sorted(names), ["netns-agent", "netns-agent-dashboard", "netns-agent-second"])

    def test_namespace_override_applies_to_all_objects(self):
        """Monitors in another namespace still select the agents."""
        documents = template("-f", CHART / "ci/everything-values.yaml")
        spaces = {(d["kind"], d["metadata"].get("namespace")) for d in documents if not d["metadata"]["name"].endswith(("-dashboard", "-second"))}
        elsewhere = {("PodMonitor", "prometheus"), ("PrometheusRule", "prometheus"), ("ClusterRole", None), ("ClusterRoleBinding", None)}
        self.assertEqual({space for kind, space in spaces - elsewhere}, {"monitoring"})
        self.assertLessEqual(elsewhere, spaces)
        (monitor,) = of_kind(documents, "PodMonitor")
        self.assertEqual(monitor["spec"]["namespaceSelector"], {"matchNames": ["monitoring"]})
        (binding,) = of_kind(documents, "ClusterRoleBinding")
        self.assertEqual(binding["subjects"][0]["namespace"], "monitoring")

    def test_readme_lists_every_value(self):
        self.assertIn(readme_values(), README.read_text(), "run tests/chart.sh --write")

    def test_documented_helm_installs_render(self):
        commands = []
        for file in [README, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
            commands += re.findall(r"^(?:\$ )?helm install (.*)$", file.read_text().replace("\\\n", " "), flags=re.M)
        self.assertGreaterEqual(len(commands), 2)
        for command in commands:
            with self.subTest(command):
                words = [str(ROOT / word) if word == "charts/netns-agent" else word for word in shlex.split(command)]
                helm("template", *words)

    def test_plain_manifests_are_current(self):
        self.assertEqual(MANIFEST.read_text(), manifest(), "run tests/chart.sh --write")

    def test_chart_image_and_program_share_a_version(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        cargo = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), flags=re.M)[1]
        self.assertEqual((chart["version"], chart["appVersion"]), (cargo, cargo))
        (image,) = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
        self.assertEqual(image["image"], container(template())["image"])
        for link in yaml.safe_load(chart["annotations"]["artifacthub.io/links"]):
            self.assertTrue((ROOT / link["url"].split("/blob/main/")[1]).is_file(), link)
        dockerfile = (ROOT / "Dockerfile").read_text()
        self.assertEqual(re.search(r"^ARG VERSION=(.*)$", dockerfile, flags=re.M)[1], cargo)
        changelog = (ROOT / "CHANGELOG.md").read_text()
        self.assertRegex(changelog, rf"(?m)^## \[{re.escape(cargo)}\] - \d{{4}}-\d\d-\d\d$", "the release workflow refuses a tag without the section")
        # With another compiler in the image, rustup would download the requested compiler during the build.
        rust = re.search(r"^ARG RUST_VERSION=(.*)$", dockerfile, flags=re.M)[1]
        self.assertIn(f'channel = "{rust}.', (ROOT / "rust-toolchain.toml").read_text())


class Alerts(unittest.TestCase):
    def rules(self, *args):
        (rule,) = of_kind(template("--set", "prometheusRule.enabled=true", *args), "PrometheusRule")
        return rule["spec"]

    def test_default_rules_equal_the_file(self):
        self.assertEqual(self.rules(), yaml.safe_load((CHART / "files/alerts.yaml").read_text()))

    def test_single_alerts_can_be_changed(self):
        """Left out, relabelled, overridden, and beside groups of the user; promtool accepts the result."""
        spec = self.rules("-f", CHART / "ci/everything-values.yaml")
        alerts = {rule["alert"]: rule for group in spec["groups"] for rule in group["rules"]}
        self.assertFalse({"NodeInterfaceDrops", "NetnsAgentSilent"} & set(alerts))
        self.assertEqual((alerts["PodInterfaceDrops"]["for"], alerts["PodInterfaceDrops"]["labels"]), ("30m", {"severity": "info", "team": "network"}))
        self.assertEqual(alerts["PodInterfaceErrors"]["labels"], {"severity": "warning", "team": "network"})
        self.assertIn("PodTraffic", alerts)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(spec, file)
            file.flush()
            run("promtool", "check", "rules", file.name)

    def test_every_alert_has_cases(self):
        """One case in which the alert fires, and one in which the alert is silent beside others or before its time."""
        names = {rule["alert"] for group in self.rules()["groups"] for rule in group["rules"]}
        cases = yaml.safe_load((ROOT / "tests/chart/alerts_test.yaml").read_text())["tests"]
        fires = {check["alertname"] for case in cases for check in case["alert_rule_test"] if check.get("exp_alerts")}
        self.assertEqual(fires, names)

    def test_runbooks_lead_to_sections(self):
        page = (ROOT / "docs/troubleshooting.md").read_text()
        anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", page, flags=re.M)}
        for rule in (rule for group in self.rules()["groups"] for rule in group["rules"]):
            with self.subTest(rule["alert"]):
                url, _, anchor = rule["annotations"]["runbook_url"].partition("#")
                self.assertTrue(url.endswith("/docs/troubleshooting.md"))
                self.assertIn(anchor, anchors)


class Deploy(unittest.TestCase):
    def test_alert_rules_fire_as_expected(self):
        for args in (["check", "rules", ROOT / "deploy/prometheus/alerts.yaml"], ["test", "rules", ROOT / "tests/chart/alerts_test.yaml"]):
            done = subprocess.run(["promtool", *map(str, args)], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_alert_rules_use_documented_metrics(self):
        used = set(re.findall(r"\b(netns_agent_\w+|k8s_(?:pod|node)_network_\w+)", (CHART / "files/alerts.yaml").read_text()))
        documented = (ROOT / "docs/metrics.md").read_text()
        self.assertEqual([name for name in used if f"`{name}`" not in documented], [])

    def test_prometheus_example_is_valid(self):
        # Debian's Prometheus is built without Kubernetes discovery, so the section is removed.
        example = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())
        (job,) = example["scrape_configs"]
        self.assertEqual(job.pop("kubernetes_sd_configs")[0]["role"], "pod")
        example["rule_files"] = [str(ROOT / "deploy/prometheus" / file) for file in example["rule_files"]]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(example, file)
            file.flush()
            done = subprocess.run(["promtool", "check", "config", file.name], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_examples_are_kubernetes_objects(self):
        for file in ROOT.glob("deploy/collector/*.yaml"):
            for document in yaml.safe_load_all(file.read_text()):
                with self.subTest(f"{file.name}: {document['kind']}"):
                    self.assertTrue(document["apiVersion"] and document["metadata"]["name"])
                    if document["kind"] == "ConfigMap":
                        self.assertTrue(all(yaml.safe_load(text) for text in document["data"].values()))

    def test_kustomize_pins_the_image_digest(self):
        digest = "sha256:" + "0123456789abcdef" * 4
        with tempfile.TemporaryDirectory() as folder:
            manifests = pathlib.Path(folder) / "netns-agent"
            shutil.copytree(MANIFEST.parent, manifests)
            image = {"name": "ghcr.io/netns-agent/netns-agent", "newName": "registry.example/netns-agent", "digest": digest}
            (pathlib.Path(folder) / "kustomization.yaml").write_text(
                yaml.safe_dump({"resources": ["netns-agent"], "images": [image]}))
            done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        made = list(yaml.safe_load_all(done.stdout))
        self.assertEqual(container(made)["image"], f"registry.example/netns-agent@{digest}")
        self.assertEqual({d["kind"] for d in made}, {d["kind"] for d in yaml.safe_load_all(MANIFEST.read_text())})


if __name__ == "__main__":
    if "--write" in sys.argv:
        sys.argv.remove("--write")
        text = README.read_text()
        README.write_text(text[: text.index(BEGIN)] + readme_values() + text[text.index(END) + len(END):])
        SCHEMA.write_text(described_schema())
        MANIFEST.write_text(manifest())
    unittest.main(verbosity=1)
