"""Queries of docs/queries.md on the cluster's own series, beside sums over single interfaces by what Kubernetes says of
their pods."""
import collections, math, re, time

from cluster import ROOT, SPACE, pods, prometheus

NETWORKS = {"eth0": "k8slab", "eth1": "k8slab2"}


def queries():
    """The query by its group of labels."""
    text = (ROOT / "docs/queries.md").read_text()
    found = {}
    for query in re.findall(r"```promql\n(.*?)```", text, re.DOTALL):
        if (by := re.search(r"sum by \(([^)]*)\)", query)) and "k8s_pod_network_io_bytes_total" in query and "[5m]" in query:
            found.setdefault(by[1], query)
    return found


def workload(pod, _series):
    return pod["metadata"]["namespace"], "Deployment", pod["metadata"]["labels"]["app"]


def label(pod, series):
    return pod["metadata"]["labels"]["team"], series["network_io_direction"]


def network(_pod, series):
    return NETWORKS[series["network_interface_name"]], series["network_io_direction"]


def host(pod, series):
    return (pod["spec"]["nodeName"],) if series["network_io_direction"] == "transmit" else None


GROUPS = {
    "k8s_namespace_name, k8s_workload_kind, k8s_workload_name": workload,
    "k8s_pod_label_team, network_io_direction": label,
    "cni_network_name, network_io_direction": network,
    "k8s_node_name": host,
}


def wrong():
    """Groups for which a query does not answer the sum, as text; every group needs traffic."""
    at, known, cookbook, problems = time.time(), pods(), queries(), []
    single = prometheus("rate(k8s_pod_network_io_bytes_total[5m])", at=at)
    strangers = {series["k8s_namespace_name"] for series, _ in single} - {SPACE}
    assert single and not strangers, f"{len(single)} series, and pods of {strangers}"
    for labels, group in GROUPS.items():
        expected = collections.Counter()
        for series, rate in single:
            if key := group(known[series["k8s_pod_uid"]], series):
                expected[key] += rate
        answer = {tuple(series[name] for name in labels.split(", ")): rate for series, rate in prometheus(cookbook[labels], at=at)}
        same = answer.keys() == expected.keys() and all(math.isclose(answer[key], expected[key], rel_tol=1e-9) for key in answer)
        if not same or not all(expected.values()):
            problems.append(f"by {labels}: {answer}, not {dict(expected)}")
    return problems
