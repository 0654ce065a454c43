"""Tests of the chart and the agent on a real cluster, in the order an operator would meet them: each
builds on the one before. Started by tests/cluster.sh, which takes names of tests to run only those."""
import json, os, sys, time

from cluster import (AGENT_SPACE, CHART, INTERVAL, LAB, ROOT, RUN, SPACE, WORK, Node, Otlp, agent, agent_pod, apply, deployment,
                     helm, kubectl, listed, pods, prometheus, rolled_out, run, until)
from churn import churn

otlp, node = Otlp(), Node() if LAB else None
figures = {}


def chart_values(**more):
    registry, _, rest = os.environ["NETNS_AGENT_IMAGE"].partition("/")
    repository, _, tag = rest.rpartition(":")
    return {
        "image": {"registry": registry, "repository": repository, "tag": tag},
        "otlp": {"endpoint": f"http://{os.environ['OTLP_HOST']}:{os.environ['OTLP_PORT']}", "interval": f"{INTERVAL}s",
                 "resourceAttributes": {"k8s.cluster.name": RUN}},
        "attach": {"labels": ["app"]},
        # A share that holds on a machine that is busy with other things, for the times that are measured.
        "resources": {"requests": {"cpu": "500m", "memory": "32Mi"}, "limits": {"memory": "192Mi"}},
        "livenessProbe": {"periodSeconds": 2}, "readinessProbe": {"periodSeconds": 1},
    } | more


def deploy(verb, **more):
    file = WORK / "values.json"
    file.write_text(json.dumps(chart_values(**more)))
    helm(verb, "netns-agent", CHART, "-f", file, "--wait", "--timeout", "120s", timeout=150)


def expected_interfaces():
    """(uid, interface) of every pod with a network of its own."""
    found = set()
    for uid, pod in pods().items():
        found.add((uid, "eth0"))
        if pod["metadata"]["labels"]["app"] == "two":
            found.add((uid, "eth1"))
    return found


def of_pods(interfaces):
    """Those inside our pods, by (uid, name)."""
    return {(i["pod"]["uid"], i["name"]): i for i in interfaces
            if i["pod"] and i["pod"]["namespace"] == SPACE and i["pod"]["end"] == "pod"}


def series(metric="k8s_pod_network_io_bytes_total"):
    found = prometheus(f'{metric}{{k8s_namespace_name="{SPACE}"}}')
    return {(s["k8s_pod_uid"], s["network_interface_name"], s.get("network_io_direction")): value for s, value in found}


def the_chart_installs_with_its_loopback_probes():
    kubectl("create", "namespace", SPACE)
    apply(deployment("one" if not node else "two", 3))
    rolled_out("deploy/" + ("one" if not node else "two"))
    if node:
        node.second_network(False)
        time.sleep(1)  # containerd notices changed networks by itself and says so to nobody
        apply(deployment("one", 3))
        try:
            rolled_out("deploy/one")
        finally:
            node.second_network(True)
    kubectl("create", "namespace", AGENT_SPACE)
    began = time.monotonic()
    deploy("install")
    figures["chart installed and ready, s"] = round(time.monotonic() - began, 1)


def every_precondition_holds_in_a_pod_like_the_agents():
    out = helm("test", "netns-agent", "--logs", "--timeout", "60s")
    assert "Succeeded" in out, out


def the_agent_has_two_capabilities_and_no_way_to_more():
    status = node.status()
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == (1 << 12) | (1 << 11), status
    assert status["NoNewPrivs"].strip() == "1", status
    figures["threads"] = int(status["Threads"])


def list_shows_every_pods_interfaces_with_the_right_pod():
    def right():
        mine = of_pods(listed())
        assert set(mine) == expected_interfaces(), f"{set(mine) ^ expected_interfaces()}"
        for uid, pod in pods().items():
            eth0 = mine[uid, "eth0"]
            assert eth0["pod"]["name"] == pod["metadata"]["name"], eth0
            addresses = [a.split("/")[0] for a in eth0["addresses"]]
            assert pod["status"]["podIP"] in addresses, eth0
        return mine
    until(20, "list is right", right)
    assert "eth0" in agent("list", "-n", SPACE)


def each_interface_names_its_network():
    for (_, name), interface in of_pods(listed()).items():
        assert interface["network"] == {"eth0": "k8slab", "eth1": "k8slab2"}[name], interface
        assert interface["pod"]["source"] == "cni-cache", interface


def the_kubectl_plugin_asks_every_node():
    plugin = ROOT / "deploy/kubectl-netns"
    out = run(plugin, "list", "-o", "wide", "-n", SPACE, "--agent-namespace", AGENT_SPACE)
    for uid, pod in pods().items():
        assert pod["metadata"]["name"] in out, out
    assert all(f"# {name.replace('/', ' ')}" in out for name in kubectl("get", "nodes", "-o", "name").split()), out
    names = json.loads(run(plugin, "list", "-n", SPACE, "-o", "json", "--agent-namespace", AGENT_SPACE))
    assert {i["pod"]["uid"] for i in names} == set(pods()), names


def every_pods_series_reach_the_otlp_receiver():
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


def an_upgrade_opens_the_agent_to_prometheus():
    before = agent_pod()["metadata"]["uid"]
    deploy("upgrade", admin={"host": "0.0.0.0"}, config={"prometheus-interfaces": "on"})
    after = until(60, "one new agent", lambda: agent_pod()["metadata"]["uid"])
    assert after != before
    hosts = {p["status"]["hostIP"] for p in pods(AGENT_SPACE).values()}
    (WORK / "targets.json").write_text(json.dumps([{"targets": [f"{host}:9465" for host in hosts]}]))


def series_are_complete():
    found, expected = {(uid, name) for uid, name, _ in series()}, expected_interfaces()
    return found == expected or fail(f"too many: {found - expected}, missing: {expected - found}")


def every_pods_series_reach_prometheus():
    until(30, "every pod has its series", series_are_complete)
    assert prometheus('count(k8s_node_network_io_bytes_total{network_interface_name="eth0"})')
    (problems,) = [run("promtool", "check", "metrics", stdin=metrics_page(), check=False)]
    assert "error" not in problems, problems


def counters_are_the_kernels():
    interfaces = of_pods(listed())

    def kernels():
        read = {}
        for (uid, name), interface in interfaces.items():
            stats = node.links(interface["netns"]["name"])[name]["stats64"]
            read |= {(uid, name, "receive"): stats["rx"]["bytes"], (uid, name, "transmit"): stats["tx"]["bytes"]}
        return read

    low = kernels()
    assert all(low.values()), low
    time.sleep(2 * INTERVAL + 1)  # one scrape lies in between
    got, high = series(), kernels()
    wrong = {key: (low[key], got.get(key), high[key]) for key in low if not low[key] <= got.get(key, -1) <= high[key]}
    assert not wrong, wrong


def a_deleted_pods_series_end():
    # One whose successor gets what it had: the lab's second network is on by now.
    app = "two" if node else "one"
    victim = min(uid for uid, pod in pods().items() if pod["metadata"]["labels"]["app"] == app)
    name = pods()[victim]["metadata"]["name"]
    kubectl("-n", SPACE, "delete", "pod", name, "--wait=true")
    until(30, "its series end", lambda: victim not in {uid for uid, _, _ in series()})
    otlp.skip()
    time.sleep(2 * INTERVAL)  # that two exports pass without it is what is to be shown
    exported = {attributes.get("k8s.pod.uid") for attributes, _, _ in otlp.resources()}
    assert exported and victim not in exported, exported
    until(60, "its successor is there", series_are_complete)


def a_killed_agent_comes_back_with_the_same_state():
    def state():
        return {key: (i["netns"], i["ifindex"], i["mac"], i["addresses"], i["pod"], i["network"]) for key, i in of_pods(listed()).items()}
    before, counters, restarts = state(), series(), restarted()
    began = time.monotonic()
    node.kill()
    until(90, "it is restarted", lambda: restarted() > restarts)
    rolled_out("ds/netns-agent", AGENT_SPACE)
    figures["killed to ready again, s"] = round(time.monotonic() - began, 1)
    until(20, "list is as before", lambda: state() == before)
    time.sleep(2 * INTERVAL + 1)  # a scrape of the new process
    after = until(20, "every series is back", lambda: (now := series()).keys() == counters.keys() and now)
    assert all(after[key] >= value for key, value in counters.items()), "a counter went back"


def restarted():
    return agent_pod()["status"]["containerStatuses"][0]["restartCount"]


def a_hundred_pods_come_and_go_with_the_api_server_stopped_and_no_tag_is_wrong():
    figures.update(churn(node))
    figures["resident memory afterwards, MiB"] = int(node.status()["VmRSS"].split()[0]) // 1024


def filters_change_by_an_upgrade():
    deploy("upgrade", admin={"host": "0.0.0.0"}, config={"prometheus-interfaces": "on"}, excludeInterfaces=["lo", "eth1"])
    until(60, "eth1 is gone from the series", lambda: {name for _, name, _ in series()} == {"eth0"})


def uninstalling_leaves_nothing():
    before = node.namespaces() if node else None
    helm("uninstall", "netns-agent", "--wait", "--timeout", "90s")
    kinds = "ds,pod,cm,svc,sa,clusterrole,clusterrolebinding"
    selector = "app.kubernetes.io/instance=netns-agent"
    until(60, "nothing of it is left", lambda: not kubectl("-n", AGENT_SPACE, "get", kinds, "-l", selector, "-o", "name").strip())
    if node:
        assert node.namespaces() == before
        kubectl("-n", SPACE, "delete", "deploy", "--all", "--wait=false")
        until(90, "the pods' namespaces end without us", lambda: not node.namespaces() & before)


def metrics_page():
    host = agent_pod()["status"]["hostIP"]
    return run(*os.environ["PROMETHEUS_AT"].split(), "curl", "-sS", "-m", "10", f"http://{host}:9465/metrics")


def fail(problem):
    raise AssertionError(problem)


ANYWHERE = [
    the_chart_installs_with_its_loopback_probes,
    every_precondition_holds_in_a_pod_like_the_agents,
    the_agent_has_two_capabilities_and_no_way_to_more,
    list_shows_every_pods_interfaces_with_the_right_pod,
    each_interface_names_its_network,
    the_kubectl_plugin_asks_every_node,
    every_pods_series_reach_the_otlp_receiver,
    an_upgrade_opens_the_agent_to_prometheus,
    every_pods_series_reach_prometheus,
    counters_are_the_kernels,
    a_deleted_pods_series_end,
    a_killed_agent_comes_back_with_the_same_state,
    a_hundred_pods_come_and_go_with_the_api_server_stopped_and_no_tag_is_wrong,
    filters_change_by_an_upgrade,
    uninstalling_leaves_nothing,
]
LAB_ONLY = {
    the_agent_has_two_capabilities_and_no_way_to_more, each_interface_names_its_network, counters_are_the_kernels,
    a_killed_agent_comes_back_with_the_same_state, filters_change_by_an_upgrade,
    a_hundred_pods_come_and_go_with_the_api_server_stopped_and_no_tag_is_wrong,
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
