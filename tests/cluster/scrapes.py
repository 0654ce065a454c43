"""Scrapes beside the kubelet's metrics."""
from prometheus_client.parser import text_string_to_metric_families

from cluster import SPACE


def container_network(page):
    """(value, time) of each series of pods of the test, by (name, pod, interface)."""
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples
               if sample.name.startswith("container_network_") and sample.labels.get("namespace") == SPACE]
    found = {(s.name, s.labels["pod"], s.labels["interface"]): (s.value, s.timestamp) for s in samples}
    assert len(found) == len(samples), "a series occurs twice"
    return found


def read_since(began, kubelets, series):
    """The kubelet's samples of these series, once all are from after a time: the kubelet reads counters every 10 to 20 s and
    shows the time."""
    missing = series.keys() - kubelets.keys()
    assert not missing, f"the kubelet lacks {sorted(missing)[:5]}"
    found = {key: kubelets[key] for key in series}
    return all(at > began for _, at in found.values()) and found
