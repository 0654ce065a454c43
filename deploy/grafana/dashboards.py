"""Writes the dashboards of charts/netns-agent/files/dashboards.

    python deploy/grafana/dashboards.py            write
    python deploy/grafana/dashboards.py --check    exit with 1 if a file differs
"""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "charts/netns-agent/files/dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
POD = "k8s_namespace_name, k8s_pod_name, k8s_pod_uid"
IN, OUT = 'network_io_direction="receive"', 'network_io_direction="transmit"'
NETWORK = f"* on ({POD}, network_interface_name) group_left (cni_network_name) k8s_pod_network_interface_info"
WORKLOAD = f"* on ({POD}) group_left (k8s_workload_kind, k8s_workload_name) k8s_pod_info"


def selector(*labels):
    return "{" + ", ".join(('cluster=~"$cluster"', *(label for label in labels if label))) + "}"


def rate(metric, *labels):
    return f"rate({metric}{selector(*labels)}[$__rate_interval])"


def total(by, expression):
    return f"sum by ({by}) ({expression})"


def top(expression, count=10):
    return f"topk({count}, {expression})"


def link(dashboard, **variables):
    query = "&".join(f"var-{name}={value}" for name, value in variables.items())
    url = f"/d/netns-agent-{dashboard}?{query}&${{datasource:queryparam}}&${{cluster:queryparam}}&${{__url_time_range}}"
    return {"title": f"Show the {dashboard}", "url": url}


TO_NODE = link("node", node="${__field.labels.k8s_node_name}")
TO_POD = link("pod", namespace="${__field.labels.k8s_namespace_name}", pod="${__field.labels.k8s_pod_name}")
CELL_NODE = link("node", node="${__value.raw}")
CELL_POD = link("pod", namespace="${__data.fields.Namespace}", pod="${__value.raw}")


def target(number, expression, legend="", **more):
    return {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": expression, "legendFormat": legend, **more}


def panel(kind, title, description, queries, width, height, defaults, options, **more):
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
        "options": options,
        "targets": [target(number, *query) for number, query in enumerate(queries)],
        **more,
    }


def graph(title, description, unit, *queries, width=12, links=(), thresholds=(), **defaults):
    """Lines over time; each query is a pair of expression and legend."""
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
    if thresholds:
        custom["thresholdsStyle"] = {"mode": "dashed"}
    fields = {"unit": unit, "min": 0, "custom": custom, "links": list(links), **steps(thresholds), **defaults}
    legend = {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["mean", "max", "lastNotNull"]}
    options = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    return panel("timeseries", title, description, queries, width, 8, fields, options)


def directions(title, description, unit, query):
    """A graph for each direction."""
    return [
        graph(f"{title}, {word}", description, unit, query(direction))
        for word, direction in [("receive", IN), ("transmit", OUT)]
    ]


def steps(thresholds):
    if not thresholds:
        return {}
    colours = ["green", "orange", "red"]
    values = [None, *thresholds]
    return {"thresholds": {"mode": "absolute", "steps": [{"color": c, "value": v} for c, v in zip(colours, values)]}}


def stat(title, description, unit, expression, thresholds=(), width=4):
    fields = {"unit": unit, "noValue": "0", **(steps(thresholds) or {"color": {"mode": "fixed", "fixedColor": "blue"}})}
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area", "colorMode": "value"}
    return panel("stat", title, description, [(expression, "")], width, 4, fields, options)


def table(title, description, queries, columns, links, width=24, height=10):
    """A row for each set of labels; queries are triples of expression, heading and unit, columns map labels."""
    targets = [target(n, expression, format="table", instant=True) for n, (expression, *_) in enumerate(queries)]
    headings = {f"Value #{t['refId']}" if len(queries) > 1 else "Value": heading for t, (_, heading, _) in zip(targets, queries)}
    names = {**columns, **headings}
    overrides = [
        {"matcher": {"id": "byName", "options": heading}, "properties": [{"id": "unit", "value": unit}]}
        for _, heading, unit in queries
    ] + [
        {"matcher": {"id": "byName", "options": heading}, "properties": [{"id": "links", "value": [to]}]}
        for heading, to in links.items()
    ]
    order = {name: number for number, name in enumerate(names)}
    keep = {"include": {"pattern": "^(" + "|".join(names).replace("#", "\\#") + ")$"}}
    made = panel("table", title, description, [], width, height, {}, {"showHeader": True}, overrides=overrides)
    made["targets"] = targets
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": keep},
        {"id": "organize", "options": {"indexByName": order, "renameByName": names}},
    ]
    return made


def states(title, description, expression, legend):
    mapping = {"0": {"text": "down", "color": "red"}, "1": {"text": "up", "color": "green"}}
    fields = {"mappings": [{"type": "value", "options": mapping}], "color": {"mode": "thresholds"}, "custom": {"fillOpacity": 80}}
    return panel("state-timeline", title, description, [(expression, legend)], 24, 8, fields, {"showValue": "never", "mergeValues": True})


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "gridPos": {"w": 24, "h": 1}, "panels": []}


def place(panels):
    """Sets the places from left to right, and the ids."""
    x = y = line = 0
    for number, made in enumerate(panels, 1):
        place = made["gridPos"]
        if x + place["w"] > 24:
            x, y, line = 0, y + line, 0
        place.update(x=x, y=y)
        x, line = x + place["w"], max(line, place["h"])
        made["id"] = number
    return panels


def variable(name, label, query, regex="", all_value=".*", multi=True):
    made = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "regex": regex,
        "multi": multi,
        "includeAll": multi,
    }
    if multi:
        made["current"] = {"text": ["All"], "value": ["$__all"]}
        if all_value:
            made["allValue"] = all_value
    return made


DATASOURCE = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
# Where no label `cluster` exists, "All" matches the series without.
CLUSTER = variable("cluster", "Cluster", "label_values(netns_agent_interfaces, cluster)")


def dashboard(name, title, description, variables, panels):
    return name, {
        "uid": f"netns-agent-{name}",
        "title": f"netns-agent / {title}",
        "description": description,
        "tags": ["netns-agent", "kubernetes", "network"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "title": "netns-agent", "tags": ["netns-agent"], "asDropdown": False, "icon": "external link", "targetBlank": False, "tooltip": "", "url": "", "includeVars": True, "keepTime": True}],
        "templating": {"list": [DATASOURCE, CLUSTER, *variables]},
        "panels": place(panels),
    }


def overview():
    chosen = 'k8s_namespace_name=~"$namespace"'
    filters = WORKLOAD + selector('k8s_workload_name=~"$workload"')

    def io(by, direction):
        return total(by, rate("k8s_pod_network_io_bytes_total", chosen, direction))

    def of_workloads(by, direction):
        return total(by, f'{rate("k8s_pod_network_io_bytes_total", chosen, direction)} {filters}')

    def network(direction):
        on = NETWORK + selector('cni_network_name=~"$network"')
        return total("cni_network_name", f'{rate("k8s_pod_network_io_bytes_total", chosen, direction)} {on}')

    variables = [
        variable("namespace", "Namespace", 'label_values(k8s_pod_network_interface_up{cluster=~"$cluster"}, k8s_namespace_name)'),
        variable("workload", "Workload", 'label_values(k8s_pod_info{cluster=~"$cluster", k8s_namespace_name=~"$namespace"}, k8s_workload_name)'),
        variable("network", "Network", 'label_values(k8s_pod_network_interface_info{cluster=~"$cluster"}, cni_network_name)'),
    ]
    was_up = f"k8s_pod_network_interface_up{selector(chosen)}"
    workload = "k8s_namespace_name, k8s_workload_kind, k8s_workload_name"
    named = "{{k8s_namespace_name}} {{k8s_workload_kind}}/{{k8s_workload_name}}"
    pod = "k8s_namespace_name, k8s_pod_name"
    dropped = rate("k8s_pod_network_packet_dropped_total", chosen)
    panels = [
        row("Summary"),
        stat("Nodes", "Nodes with an agent.", "short", f"count(netns_agent_interfaces{selector()})"),
        stat("Interfaces of pods", "Interfaces of all pods in the chosen namespaces.", "short", f"count({was_up})"),
        stat("Received", "Bytes per second that pods receive.", "Bps", f'sum({rate("k8s_pod_network_io_bytes_total", chosen, IN)})'),
        stat("Transmitted", "Bytes per second that pods transmit.", "Bps", f'sum({rate("k8s_pod_network_io_bytes_total", chosen, OUT)})'),
        stat("Dropped", "Packets of pods that the kernel dropped, per second.", "pps", f"sum({dropped})", (1, 100)),
        stat("Went down", "Interfaces of pods that were up within a day and are down now.", "short", f"count({was_up} == 0 and max_over_time({was_up}[1d]) == 1) or vector(0)", (1, 10)),
        row("Traffic"),
        graph("Received by namespace", "Bytes that pods receive.", "Bps", (top(io("k8s_namespace_name", IN)), "{{k8s_namespace_name}}")),
        graph("Transmitted by namespace", "Bytes that pods transmit.", "Bps", (top(io("k8s_namespace_name", OUT)), "{{k8s_namespace_name}}")),
        graph("Received by workload", "Workloads that receive most.", "Bps", (top(of_workloads(workload, IN)), named)),
        graph("Transmitted by workload", "Workloads that transmit most.", "Bps", (top(of_workloads(workload, OUT)), named)),
        graph("Received by pods of the workloads", "Pods of the chosen workloads that receive most.", "Bps", (top(of_workloads(pod, IN)), "{{k8s_namespace_name}}/{{k8s_pod_name}}"), links=[TO_POD]),
        graph("Transmitted by pods of the workloads", "Pods of the chosen workloads that transmit most.", "Bps", (top(of_workloads(pod, OUT)), "{{k8s_namespace_name}}/{{k8s_pod_name}}"), links=[TO_POD]),
        graph("Received by network", "Bytes by CNI network; interfaces without a known network are one line.", "Bps", (network(IN), "{{cni_network_name}}")),
        graph("Transmitted by network", "Bytes by CNI network; interfaces without a known network are one line.", "Bps", (network(OUT), "{{cni_network_name}}")),
        row("Top pods"),
        table(
            "Top pods",
            "Pods that carry most, with their losses. Follow a link to all interfaces of the pod.",
            [
                (top(total("k8s_node_name, " + pod, rate("k8s_pod_network_io_bytes_total", chosen)), 50), "Traffic", "Bps"),
                (f"{total('k8s_node_name, ' + pod, dropped)} > 0", "Dropped", "pps"),
                (f"{total('k8s_node_name, ' + pod, rate('k8s_pod_network_errors_total', chosen))} > 0", "Errors", "pps"),
            ],
            {"k8s_namespace_name": "Namespace", "k8s_pod_name": "Pod", "k8s_node_name": "Node"},
            {"Pod": CELL_POD, "Node": CELL_NODE},
        ),
        row("Nodes and losses"),
        graph("Traffic of pods by node", "Bytes that the pods of each node receive and transmit.", "Bps", (top(total("k8s_node_name", rate("k8s_pod_network_io_bytes_total", chosen))), "{{k8s_node_name}}"), links=[TO_NODE]),
        graph("Dropped by node", "Packets that the node's own interfaces dropped.", "pps", (top(total("k8s_node_name", rate("k8s_node_network_packet_dropped_total"))), "{{k8s_node_name}}"), links=[TO_NODE]),
        graph("Dropped by pod", "Packets of pods that the kernel dropped, for example because a queue was full.", "pps", (f"{top(total(pod, dropped))} > 0", "{{k8s_namespace_name}}/{{k8s_pod_name}}"), links=[TO_POD]),
        graph("Flapping interfaces", "Changes between up and down within 15 minutes.", "short", (f"topk(10, changes({was_up}[15m])) > 0", "{{k8s_namespace_name}}/{{k8s_pod_name}} {{network_interface_name}}"), links=[TO_POD]),
    ]
    return dashboard("overview", "Overview", "Traffic and losses of all pods.", variables, panels)


def node():
    here = 'k8s_node_name=~"$node"'
    links = (here, 'network_interface_name=~"$interface"')
    by = "k8s_node_name, network_interface_name"
    named = "{{k8s_node_name}} {{network_interface_name}}"

    def of_links(metric, direction):
        return top(total(by, rate(f"k8s_node_network_{metric}", *links, direction)), 20)

    def both(title, description, unit, metric):
        return directions(title, description, unit, lambda direction: (of_links(metric, direction), named))

    variables = [
        variable("node", "Node", 'label_values(netns_agent_interfaces{cluster=~"$cluster"}, k8s_node_name)'),
        variable(
            "interface",
            "Interface",
            'label_values(k8s_node_network_interface_up{cluster=~"$cluster", k8s_node_name=~"$node"}, network_interface_name)',
            # The host ends of pods' links repeat the traffic of pods.
            regex="/^(?!veth|cali|lxc|azv|eni|gke|vethwe).*/",
            all_value=None,
        ),
    ]
    up = f"k8s_node_network_interface_up{selector(*links)}"
    bandwidth = "k8s_node_network_interface_bandwidth_limit_bytes_per_second" + selector(*links)
    saturation = f'{rate("k8s_node_network_io_bytes_total", *links)} / on (cluster, {by}) group_left {bandwidth}'
    panels = [
        row("Summary"),
        stat("Interfaces", "Interfaces that the agent knows, in all namespaces of the node.", "short", f"sum(netns_agent_interfaces{selector(here)})", width=6),
        stat("Namespaces", "Network namespaces that the agent follows.", "short", f"sum(netns_agent_namespaces{selector(here)})", width=6),
        stat("Without a known pod", "Interfaces without a known pod in namespaces of a container runtime.", "short", f"sum(netns_agent_interfaces_untagged{selector(here)})", (1, 20), width=6),
        stat("Cannot be seen", "Namespaces and directories that the agent cannot read.", "short", f"sum(netns_agent_faults{selector(here)})", (1, 5), width=6),
        row("Links of the node"),
        *both("Bytes", "Bytes that each link carries.", "Bps", "io_bytes_total"),
        *both("Packets", "Packets that each link carries.", "pps", "packet_count_total"),
        *both("Drops", "Packets dropped although they had no errors, for example because a queue was full.", "pps", "packet_dropped_total"),
        *both("Errors", "Packets that could not be received or transmitted.", "pps", "errors_total"),
        graph("Saturation", "Used share of the speed of each link; needs --metrics interface.bandwidth.limit.", "percentunit", (top(saturation, 20), named + " {{network_io_direction}}"), thresholds=(0.7, 0.9), max=1),
        graph("Flapping links", "Changes between up and down within 15 minutes.", "short", (f"topk(10, changes({up}[15m])) > 0", named)),
        states("State of the links", "Whether each link can pass packets.", up, named),
        row("Pods and other namespaces of the node"),
        graph("Top pods", "Pods of the node that carry most.", "Bps", (top(total("k8s_namespace_name, k8s_pod_name", rate("k8s_pod_network_io_bytes_total", here))), "{{k8s_namespace_name}}/{{k8s_pod_name}}"), links=[TO_POD]),
        graph("Namespaces without a pod", "Traffic in named namespaces that belong to no pod.", "Bps", (top(total("k8s_node_name, netns_name", rate("system_network_io_bytes_total", here))), "{{k8s_node_name}} {{netns_name}}")),
    ]
    return dashboard("node", "Node", "Links of nodes, and the pods on the nodes.", variables, panels)


def pod():
    here = ('k8s_namespace_name=~"$namespace"', 'k8s_pod_name=~"$pod"')
    links = (*here, 'network_interface_name=~"$interface"')
    named = "{{k8s_pod_name}} {{network_interface_name}}"

    def lines(title, description, unit, metric):
        counter = f"k8s_pod_network_{metric}"
        return directions(title, description, unit, lambda direction: (rate(counter, *links, direction), named))

    of_cluster = 'cluster=~"$cluster", k8s_namespace_name=~"$namespace"'
    variables = [
        variable("namespace", "Namespace", 'label_values(k8s_pod_network_interface_up{cluster=~"$cluster"}, k8s_namespace_name)'),
        variable("pod", "Pod", f"label_values(k8s_pod_network_interface_up{{{of_cluster}}}, k8s_pod_name)"),
        variable("interface", "Interface", f'label_values(k8s_pod_network_interface_up{{{of_cluster}, k8s_pod_name=~"$pod"}}, network_interface_name)'),
    ]
    up = f"k8s_pod_network_interface_up{selector(*links)}"
    of_interface = f"{POD}, network_interface_name"
    panels = [
        row("Interfaces"),
        table(
            "Interfaces",
            "Every interface of the pod, with its network, MAC address and namespace.",
            [
                (f"k8s_pod_network_interface_info{selector(*links)}", "Info", "short"),
                (f"{total(of_interface, rate('k8s_pod_network_io_bytes_total', *links, IN))}", "Received", "Bps"),
                (f"{total(of_interface, rate('k8s_pod_network_io_bytes_total', *links, OUT))}", "Transmitted", "Bps"),
                (f"{total(of_interface, rate('k8s_pod_network_packet_dropped_total', *links))}", "Dropped", "pps"),
                (f"{total(of_interface, up)}", "Up", "short"),
            ],
            {
                "k8s_namespace_name": "Namespace",
                "k8s_pod_name": "Pod",
                "network_interface_name": "Interface",
                "cni_network_name": "Network",
                "network_interface_mac": "MAC",
                "netns_name": "netns",
                "k8s_node_name": "Node",
            },
            {"Node": CELL_NODE},
            height=8,
        ),
        row("Traffic"),
        *lines("Bytes", "Bytes that each interface carries.", "Bps", "io_bytes_total"),
        *lines("Packets", "Packets that each interface carries.", "pps", "packet_count_total"),
        row("Losses and state"),
        *lines("Drops", "Packets dropped although they had no errors, for example because a queue was full.", "pps", "packet_dropped_total"),
        *lines("Errors", "Packets that could not be received or transmitted.", "pps", "errors_total"),
        states("State of the interfaces", "Whether each interface can pass packets.", up, named),
        row("Protocols (--protocol-stats true)"),
        *[
            graph(title, description, unit, *((f"{rate(f'k8s_pod_network_{metric}', *here)}", "{{k8s_pod_name}} " + word) for metric, word in queries), width=8)
            for title, description, unit, queries in [
                ("TCP losses", "TCP segments transmitted again, and RST segments sent.", "pps", [("tcp_retransmits_total", "retransmits"), ("tcp_resets_sent_total", "resets")]),
                ("Listening sockets", "Connections dropped because the queue of a listening socket was full, or for any reason.", "cps", [("tcp_listen_overflows_total", "overflows"), ("tcp_listen_drops_total", "drops")]),
                ("UDP buffers", "UDP packets dropped because a buffer of a socket was full.", "pps", [("udp_receive_buffer_errors_total", "receive"), ("udp_send_buffer_errors_total", "send")]),
            ]
        ],
        graph("TCP connections", "Established connections.", "short", (f"k8s_pod_network_tcp_connections{selector(*here)}", "{{k8s_pod_name}}")),
        graph("Conntrack", "Used share of the conntrack table.", "percentunit", (f"k8s_pod_network_conntrack_entries{selector(*here)} / k8s_pod_network_conntrack_limit{selector(*here)}", "{{k8s_pod_name}}"), thresholds=(0.7, 0.9), max=1),
        row("Workload"),
        table(
            "Pods",
            "Workload of each pod.",
            [(f"k8s_pod_info{selector(*here)}", "Info", "short")],
            {
                "k8s_namespace_name": "Namespace",
                "k8s_pod_name": "Pod",
                "k8s_workload_kind": "Kind",
                "k8s_workload_name": "Workload",
                "k8s_node_name": "Node",
                "k8s_pod_uid": "uid",
            },
            {"Node": CELL_NODE},
            height=6,
        ),
    ]
    return dashboard("pod", "Pod", "Every interface of a pod.", variables, panels)


def agent():
    here = 'k8s_node_name=~"$node"'

    # Other exporters have process_* without the label.
    named = 'k8s_node_name!=""'

    def own(title, description, unit, metric, legend="{{k8s_node_name}}", by="k8s_node_name", width=8):
        return graph(title, description, unit, (top(total(by, rate(metric, here, named))), legend), width=width)

    def gauge(title, description, unit, metric, width=8):
        values = metric + selector(here, named)
        return graph(title, description, unit, (top(total("k8s_node_name", values)), "{{k8s_node_name}}"), width=width)

    def quantile(metric, by=""):
        return f"histogram_quantile(0.99, sum by (le{by}) ({rate(metric + '_bucket', here)}))"

    signal = "netns_agent_export_signal"
    variables = [variable("node", "Node", 'label_values(netns_agent_interfaces{cluster=~"$cluster"}, k8s_node_name)')]
    panels = [
        row("Summary"),
        stat("Agents", "Agents that report.", "short", f"count(netns_agent_interfaces{selector(here)})"),
        stat("Versions", "Different versions of the agent.", "short", f"count(count by (version) (netns_agent_build_info{selector(here)}))", (2, 3)),
        stat("Without a known pod", "Interfaces without a known pod in namespaces of a container runtime.", "short", f"sum(netns_agent_interfaces_untagged{selector(here)})", (1, 20)),
        stat("Cannot be seen", "Namespaces and directories that agents cannot read.", "short", f"sum(netns_agent_faults{selector(here)})", (1, 5)),
        stat("Series left out", "Series left out because of limits, or because a newer interface has the name.", "short", f"sum(netns_agent_series_overflow{selector(here)}) + sum(netns_agent_series_duplicate{selector(here)})", (1, 1000)),
        stat("CNI results refused", "CNI result files that agents refused since their start.", "short", f"sum(netns_agent_cni_files_refused_total{selector(here)})", (1, 100)),
        row("Events"),
        own("Interface events", "Interfaces added, updated and deleted.", "ops", "netns_agent_events_total", "{{netns_agent_event_kind}}", "netns_agent_event_kind"),
        own("Overruns", "Overruns of netlink receive queues; namespaces are dumped again afterwards.", "ops", "netns_agent_netlink_overruns_total"),
        gauge("Unread events", "Events that wait to be read.", "short", "netns_agent_events_unread"),
        row("Export and collection"),
        graph("Time to read all counters", "99th percentile.", "s", (quantile("netns_agent_collect_duration_seconds", ", k8s_node_name"), "{{k8s_node_name}}"), width=8),
        graph("Time of an export", "99th percentile, with retries.", "s", (quantile("netns_agent_export_duration_seconds", f", {signal}"), f"{{{{{signal}}}}}"), width=8),
        own("Export failures", "OTLP exports that were not delivered completely.", "ops", "netns_agent_export_failures_total", f"{{{{{signal}}}}} {{{{error_type}}}}", f"{signal}, error_type"),
        graph(
            "Data points and records",
            "Items that the OTLP receiver accepted and rejected.",
            "ops",
            (total(signal, rate("netns_agent_export_items_total", here)), f"{{{{{signal}}}}} accepted"),
            (total(signal, rate("netns_agent_export_rejected_total", here)), f"{{{{{signal}}}}} rejected"),
            width=8,
        ),
        gauge("Series", "Exported series of interfaces.", "short", "netns_agent_series"),
        gauge("IP conflicts", "Addresses claimed by two live pods, since the start of the agent.", "short", "netns_agent_pod_ip_conflicts_total"),
        row("Process"),
        own("CPU", "CPU time per second.", "percentunit", "process_cpu_seconds_total"),
        gauge("Memory", "Memory in RAM.", "bytes", "process_resident_memory_bytes"),
        gauge("Open files", "Open file descriptors.", "short", "process_open_fds"),
    ]
    return dashboard("agent", "Agent", "Health of the agents.", variables, panels)


def main():
    wrong = []
    for name, made in [overview(), node(), pod(), agent()]:
        path = FOLDER / f"{name}.json"
        text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        if "--check" in sys.argv:
            wrong += [path.name] if not path.exists() or path.read_text() != text else []
        else:
            path.write_text(text)
    if wrong:
        sys.exit(f"{', '.join(wrong)}: run python deploy/grafana/dashboards.py")


main()
