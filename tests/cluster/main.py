"""Tests of the chart and the agent on a real cluster, in the order of an operator's work; each test builds on its
predecessors. Started by tests/cluster.sh; arguments are names of tests to run."""
import json, os, sys, time

import yaml

from cluster import (AGENT_SPACE, CHART, INTERVAL, LAB, ROOT, RUN, SPACE, WORK, Node, Otlp, agent, agent_pod, apply, deployment,
                     helm, kubectl, listed, pods, prometheus, rolled_out, run, until)
from churn import churn
from cookbook import wrong
from monitor import target
from scrapes import container_network, read_since

otlp, node = Otlp(), Node() if LAB else None
figures = {}


def chart_values(**more):
    registry, _, rest = os.environ["NETNS_AGENT_IMAGE"].partition("/")
    repository, _, tag = rest.rpartition(":")
    return {
        "image": {"registry": registry, "repository": repository, "tag": tag},
        # At a port other than 4317 the agent would infer HTTP.
        "otlp": {"endpoint": f"http://{os.environ['OTLP_HOST']}:{os.environ['OTLP_PORT']}", "protocol": "grpc", "interval": f"{INTERVAL}s",
                 "resourceAttributes": {"k8s.cluster.name": RUN}},
        "attach": {"labels": ["app", "team"]},
        # A request that is sufficient on a busy machine, for the measured times.
        "resources": {"requests": {"cpu": "500m", "memory": "32Mi"}, "limits": {"memory": "192Mi"}},
        "livenessProbe": {"periodSeconds": 2}, "readinessProbe": {"periodSeconds": 1},
    } | more


def deploy(verb, **more):
    file = WORK / "values.json"
    file.write_text(json.dumps(chart_values(**more)))
    helm(verb, "netns-agent", CHART, "-f", file, "--wait", "--timeout", "120s", timeout=150)


def expected_interfaces():
    """(uid, interface) of every pod outside the node's network."""
    found = set()
    for uid, pod in pods().items():
        found.add((uid, "eth0"))
        if pod["metadata"]["labels"]["app"] == "two":
            found.add((uid, "eth1"))
    return found


def of_pods(interfaces):
    """Interfaces inside pods of the test, by (uid, name)."""
    return {(i["pod"]["uid"], i["name"]): i for i in interfaces
            if i["pod"] and i["pod"]["namespace"] == SPACE and i["pod"]["end"] == "pod"}


def series(metric="k8s_pod_network_io_bytes_total"):
    found = prometheus(f'{metric}{{k8s_namespace_name="{SPACE}"}}')
    return {(s["k8s_pod_uid"], s["network_interface_name"], s.get("network_io_direction")): value for s, value in found}


def chart_installs_with_loopback_probes():
    kubectl("create", "namespace", SPACE)
    apply(deployment("one" if not node else "two", 3))
    rolled_out("deploy/" + ("one" if not node else "two"))
    if node:
        node.second_network(False)
        time.sleep(1)  # containerd reloads networks on its own, without any signal
        apply(deployment("one", 3))
        try:
            rolled_out("deploy/one")
        finally:
            node.second_network(True)
    kubectl("create", "namespace", AGENT_SPACE)
    began = time.monotonic()
    deploy("install")
    figures["chart installed and ready, s"] = round(time.monotonic() - began, 1)


def helm_test_passes():
    """`helm test` checks every precondition in a pod like the agent's."""
    for program in ("helm", "helm3"):
        out = run(program, "-n", AGENT_SPACE, "test", "netns-agent", "--logs", "--timeout", "60s")
        assert "Succeeded" in out and "capabilities" in out, out


def api_server_accepts_every_ci_file():
    """As rendered by Helm 3 and 4. Kinds of operators need their operators and are left out."""
    kinds = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "VerticalPodAutoscaler", "SecurityContextConstraints"}
    # Fields newer than the lab's Kubernetes 1.20.
    newer = ["--set", "service.internalTrafficPolicy=,hostUsers=null"] if LAB else []
    for program in ("helm", "helm3"):
        for values in sorted((CHART / "ci").glob("*-values.yaml")):
            text = run(program, "template", "ci", CHART, "-n", AGENT_SPACE, "--skip-tests", "-f", values, *newer)
            objects = [o for o in yaml.safe_load_all(text) if o and o["kind"] not in kinds]
            for made in objects:
                if "namespace" in made["metadata"]:
                    made["metadata"]["namespace"] = AGENT_SPACE
            kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump_all(objects))


def agent_has_two_capabilities():
    """NET_ADMIN and NET_BROADCAST, and no way to gain others."""
    status = node.status()
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == (1 << 12) | (1 << 11), status
    assert status["NoNewPrivs"].strip() == "1", status
    figures["threads"] = int(status["Threads"])


def list_shows_the_right_pods():
    def right():
        mine = of_pods(listed())
        assert set(mine) == expected_interfaces(), f"{set(mine) ^ expected_interfaces()}"
        for uid, pod in pods().items():
            eth0 = mine[uid, "eth0"]
            assert eth0["pod"]["name"] == pod["metadata"]["name"], eth0
            addresses = [a.split("/")[0] for a in eth0["addresses"]]
            assert pod["status"]["podIP"] in addresses, eth0
        return mine
    until(20, "list shows the right pods", right)
    assert "eth0" in agent("list", "-n", SPACE)


def interfaces_name_their_networks():
    for (_, name), interface in of_pods(listed()).items():
        assert interface["network"] == {"eth0": "k8slab", "eth1": "k8slab2"}[name], interface
        assert interface["pod"]["source"] == "cni-cache", interface


def kubectl_plugin_queries_every_node():
    plugin = ROOT / "deploy/kubectl-netns"
    out = run(plugin, "list", "-o", "wide", "-n", SPACE, "--agent-namespace", AGENT_SPACE)
    for uid, pod in pods().items():
        assert pod["metadata"]["name"] in out, out
    nodes = {name.removeprefix("node/") for name in kubectl("get", "nodes", "-o", "name").split()}
    heading, *rows = out.splitlines()
    assert heading.startswith("NODE ") and {row.split()[0] for row in rows} <= nodes, out
    names = json.loads(run(plugin, "list", "-n", SPACE, "-o", "json", "--agent-namespace", AGENT_SPACE))
    assert {i["pod"]["uid"] for i in names} == set(pods()) and {i["node"] for i in names} <= nodes, names


def series_reach_the_otlp_receiver():
    otlp.skip()
    seen = {}

    def complete():
        for attributes, metrics, interfaces in otlp.resources():
            if attributes.get("k8s.namespace.name") == SPACE:
                seen.setdefault(attributes["k8s.pod.uid"], (attributes, set(), set()))
                seen[attributes["k8s.pod.uid"]][1].update(metrics)
                seen[attributes["k8s.pod.uid"]][2].update(interfaces)
        found = {(uid, name) for uid, (_, _, names) in seen.items() for name in names}
        assert found == expected_interfaces(), found ^ expected_interfaces()
        return seen
    until(30, "every pod is exported", complete)
    for uid, pod in pods().items():
        attributes, metrics, _ = seen[uid]
        app = pod["metadata"]["labels"]["app"]
        right = {"k8s.pod.name": pod["metadata"]["name"], "k8s.node.name": pod["spec"]["nodeName"], "k8s.deployment.name": app,
                 "k8s.cluster.name": RUN, "k8s.pod.label.app": app}
        assert right.items() <= attributes.items(), attributes
        assert {"k8s.pod.network.io", "k8s.pod.network.errors", "k8s.pod.network.packet.count",
                "k8s.pod.network.packet.dropped", "k8s.pod.network.interface.up"} <= metrics, metrics


# For scrapers outside the pods: the admin server without, and the metrics server with TLS and tokens.
OPEN = {"admin": {"host": "0.0.0.0"}, "config": {"prometheus-interfaces": "on", "prometheus-names": "both"},
        "metricsServer": {"host": "0.0.0.0", "tls": {"secret": "metrics-tls"}, "authorization": "kubernetes"}}


def upgrade_opens_the_admin_server():
    before = agent_pod()["metadata"]["uid"]
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=netns-agent",
        "-keyout", WORK / "tls.key", "-out", WORK / "tls.crt")
    kubectl("-n", AGENT_SPACE, "create", "secret", "tls", "metrics-tls", f"--key={WORK / 'tls.key'}", f"--cert={WORK / 'tls.crt'}")
    deploy("upgrade", **OPEN)
    after = until(60, "one new agent", lambda: agent_pod()["metadata"]["uid"])
    assert after != before
    (WORK / "targets.json").write_text(json.dumps([target(pod) for pod in pods(AGENT_SPACE).values()]))


def scrapers_need_a_token():
    """The API server decides about the tokens of two ServiceAccounts, one of which may get /metrics."""
    binding = f"scraper-{RUN}"
    for account in ("scraper", "stranger"):
        kubectl("-n", AGENT_SPACE, "create", "serviceaccount", account)
    kubectl("create", "clusterrolebinding", binding, "--clusterrole=netns-agent-scraper", f"--serviceaccount={AGENT_SPACE}:scraper")
    host = agent_pod()["status"]["hostIP"]
    token = lambda account: kubectl("-n", AGENT_SPACE, "create", "token", account).strip()

    def status(*header):
        return run(*os.environ["PROMETHEUS_AT"].split(), "curl", "-sSk", "-m", "10", "-o", WORK / "page", "-w", "%{http_code}",
                   *header, f"https://{host}:9466/metrics")
    try:
        for bearer, expected in ((token("scraper"), "200"), (token("stranger"), "403"), ("nonsense", "401"), (None, "401")):
            got = status(*(["-H", f"Authorization: Bearer {bearer}"] if bearer else []))
            page = (WORK / "page").read_text()
            assert got == expected, f"{got}, not {expected}: {page[:300]}"
            assert ("k8s_pod_network_io_bytes_total" in page) == (expected == "200"), page[:300]
            assert expected != "403" or f"system:serviceaccount:{AGENT_SPACE}:stranger may not get /metrics" in page, page
    finally:
        kubectl("delete", "clusterrolebinding", binding)


def series_are_complete():
    found, expected = {(uid, name) for uid, name, _ in series()}, expected_interfaces()
    return found == expected or fail(f"too many: {found - expected}, missing: {expected - found}")


def series_reach_prometheus():
    until(30, "every pod has its series", series_are_complete)
    assert prometheus('count(k8s_node_network_io_bytes_total{network_interface_name="eth0"})')
    (problems,) = [run("promtool", "check", "metrics", stdin=metrics_page(), check=False)]
    assert "error" not in problems, problems


def counters_equal_the_kernels():
    interfaces = of_pods(listed())

    def kernels():
        read = {}
        for (uid, name), interface in interfaces.items():
            stats = node.links(interface["netns"]["name"])[name]["stats64"]
            read |= {(uid, name, "receive"): stats["rx"]["bytes"], (uid, name, "transmit"): stats["tx"]["bytes"]}
        return read

    low = kernels()
    assert all(low.values()), low
    time.sleep(2 * INTERVAL + 1)  # for one scrape in between
    got, high = series(), kernels()
    wrong = {key: (low[key], got.get(key), high[key]) for key in low if not low[key] <= got.get(key, -1) <= high[key]}
    assert not wrong, wrong


def cookbook_answers_by_owner_and_network():
    """Traffic by workload, attached label, network and node; and nothing of the agent's own pod on a series."""
    node.send_packets([pod["status"]["podIP"] for pod in pods().values()])
    time.sleep(2 * INTERVAL + 1)  # for one scrape in between
    until(30, "a rate of every series", lambda: not (problems := wrong()) or fail("; ".join(problems)))
    for labels, _ in prometheus("k8s_pod_network_io_bytes_total"):
        assert labels["node"] == labels["instance"] == agent_pod()["spec"]["nodeName"], labels
        assert not {"namespace", "pod", "container", "endpoint", "exported_pod"} & labels.keys(), labels


def kubelet_has_the_same_series():
    """container_network_* of the agent and of the kubelet: the same series, and values within one scrape."""
    node.show_containerd_to_the_kubelet()
    name = kubectl("get", "nodes", "-o", "name").strip()
    kubelets = lambda: container_network(kubectl("get", "--raw", f"/api/v1/nodes/{name.removeprefix('node/')}/proxy/metrics/cadvisor"))
    node.send_packets([pod["status"]["podIP"] for pod in pods().values()])
    low, began = container_network(metrics_page()), time.time()
    assert {(pod, interface) for _, pod, interface in low} == {(pods()[uid]["metadata"]["name"], name) for uid, name in expected_interfaces()}
    node.send_packets([pod["status"]["podIP"] for pod in pods().values()])

    between = until(90, "the kubelet has read every counter", lambda: read_since(began, kubelets(), low))
    high = container_network(metrics_page())
    wrong = {key: (low[key][0], value, high[key][0]) for key, (value, _) in between.items() if not low[key][0] <= value <= high[key][0]}
    assert not wrong, wrong
    received = [key for key in low if key[0] == "container_network_receive_packets_total" and key[2] == "eth0"]
    assert received and all(between[key][0] > low[key][0] for key in received), "the packets between are counted"
    figures["series that agent and kubelet share"] = len(between)


def series_of_a_deleted_pod_end():
    # A pod whose successor gets the same interfaces: the lab's second network is enabled by now.
    app = "two" if node else "one"
    victim = min(uid for uid, pod in pods().items() if pod["metadata"]["labels"]["app"] == app)
    name = pods()[victim]["metadata"]["name"]
    kubectl("-n", SPACE, "delete", "pod", name, "--wait=true")
    until(30, "the series of the pod end", lambda: victim not in {uid for uid, _, _ in series()})
    def two_exports_without_it():
        otlp.skip()
        time.sleep(2 * INTERVAL)
        exported = {attributes.get("k8s.pod.uid") for attributes, _, _ in otlp.resources()}
        return exported and victim not in exported
    # The final counters and the end marker are exported before.
    until(30, "two exports without the pod", two_exports_without_it)
    until(60, "the successor has its series", series_are_complete)


def killed_agent_restores_its_state():
    """After SIGKILL, interfaces and owners are as before, and no counter decreases."""
    def state():
        return {key: (i["netns"], i["ifindex"], i["mac"], i["addresses"], i["pod"], i["network"]) for key, i in of_pods(listed()).items()}
    before, counters, restarts = state(), series(), restarted()
    began = time.monotonic()
    node.kill()
    until(90, "the agent is restarted", lambda: restarted() > restarts)
    rolled_out("ds/netns-agent", AGENT_SPACE)
    figures["killed to ready again, s"] = round(time.monotonic() - began, 1)
    until(20, "list is as before", lambda: state() == before)
    time.sleep(2 * INTERVAL + 1)  # for a scrape of the new process
    after = until(20, "every series is present", lambda: (now := series()).keys() == counters.keys() and now)
    assert all(after[key] >= value for key, value in counters.items()), "a counter decreased"


def restarted():
    return agent_pod()["status"]["containerStatuses"][0]["restartCount"]


def no_owner_is_wrong_under_churn():
    """A hundred pods are created and deleted three times, once without the API server and once with the agent killed."""
    figures.update(churn(node))
    figures["resident memory afterwards, MiB"] = int(node.status()["VmRSS"].split()[0]) // 1024


def upgrade_changes_filters():
    deploy("upgrade", **OPEN, excludeInterfaces=["lo", "eth1"])
    # No new pod: the kubelet updates the mounted ConfigMap within its sync period.
    until(180, "series of eth1 end", lambda: {name for _, name, _ in series()} == {"eth0"})


def uninstall_leaves_nothing():
    """No object remains, and the kernel destroys the namespaces of deleted pods."""
    before = node.namespaces() if node else None
    helm("uninstall", "netns-agent", "--wait", "--timeout", "90s")
    # The pod of `helm test` is a hook and thus no part of the release.
    kubectl("-n", AGENT_SPACE, "delete", "pod", "netns-agent-test", "--ignore-not-found")
    kinds = "ds,pod,cm,svc,sa,clusterrole,clusterrolebinding"
    selector = "app.kubernetes.io/instance=netns-agent"
    until(60, "no object of the release remains", lambda: not kubectl("-n", AGENT_SPACE, "get", kinds, "-l", selector, "-o", "name").strip())
    if node:
        assert node.namespaces() == before
        kubectl("-n", SPACE, "delete", "deploy", "--all", "--wait=false")
        until(90, "the kernel destroys the pods' namespaces", lambda: not node.namespaces() & before)


def metrics_page():
    host = agent_pod()["status"]["hostIP"]
    return run(*os.environ["PROMETHEUS_AT"].split(), "curl", "-sS", "-m", "10", f"http://{host}:9465/metrics")


def fail(problem):
    raise AssertionError(problem)


ANYWHERE = [
    chart_installs_with_loopback_probes,
    helm_test_passes,
    api_server_accepts_every_ci_file,
    agent_has_two_capabilities,
    list_shows_the_right_pods,
    interfaces_name_their_networks,
    kubectl_plugin_queries_every_node,
    series_reach_the_otlp_receiver,
    upgrade_opens_the_admin_server,
    scrapers_need_a_token,
    series_reach_prometheus,
    counters_equal_the_kernels,
    cookbook_answers_by_owner_and_network,
    kubelet_has_the_same_series,
    series_of_a_deleted_pod_end,
    killed_agent_restores_its_state,
    no_owner_is_wrong_under_churn,
    upgrade_changes_filters,
    uninstall_leaves_nothing,
]
LAB_ONLY = {
    agent_has_two_capabilities, interfaces_name_their_networks, counters_equal_the_kernels, cookbook_answers_by_owner_and_network,
    kubelet_has_the_same_series,
    killed_agent_restores_its_state, upgrade_changes_filters,
    no_owner_is_wrong_under_churn,
}


def main():
    passed = failed = 0
    for test in ANYWHERE:
        if sys.argv[1:] and test is not ANYWHERE[0] and test.__name__ not in sys.argv[1:]:
            continue
        if not node and test in LAB_ONLY:
            print(f"not run outside the lab: {test.__name__}")
            continue
        began = time.monotonic()
        try:
            test()
            passed += 1
            print(f"ok: {test.__name__} ({time.monotonic() - began:.1f} s)")
        except Exception as error:
            failed += 1
            print(f"FAILED: {test.__name__}: {error}")
            if test is ANYWHERE[0]:
                print(kubectl("-n", AGENT_SPACE, "describe", "pods", check=False)[-3000:])
                break
    if failed:
        print(kubectl("-n", AGENT_SPACE, "logs", "ds/netns-agent", "--tail=30", check=False))
    for name, value in figures.items():
        print(f"{name}: {value}")
    for space in (SPACE, AGENT_SPACE):
        kubectl("delete", "namespace", space, "--wait=false", check=False)
    helm("uninstall", "netns-agent", check=False)
    print(f"cluster: {passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
