"""The configuration of the test's Prometheus: what the Prometheus operator makes of the chart's PodMonitor. The operator's
discovery is a file of targets with the labels that discovery gives."""
import re, sys

import yaml


def snake(name):
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def configuration(monitor, interval):
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    rules = [{snake(key): value for key, value in rule.items()} for rule in endpoint["relabelings"]]
    return {"global": {"scrape_interval": interval, "scrape_timeout": interval}, "scrape_configs": [{
        "job_name": "netns-agent", "metrics_path": endpoint["path"], "honor_labels": endpoint["honorLabels"],
        "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": interval}], "relabel_configs": rules}]}


def target(pod):
    """The labels that discovery and the operator give a pod of the agent."""
    metadata = pod["metadata"]
    return {"targets": [f"{pod['status']['hostIP']}:9465"], "labels": {
        "__meta_kubernetes_pod_node_name": pod["spec"]["nodeName"], "namespace": metadata["namespace"],
        "pod": metadata["name"], "container": "netns-agent", "endpoint": "metrics"}}


if __name__ == "__main__":
    (rendered,) = [part for part in yaml.safe_load_all(sys.stdin) if part and part["kind"] == "PodMonitor"]
    yaml.safe_dump(configuration(rendered, "2s"), sys.stdout)
