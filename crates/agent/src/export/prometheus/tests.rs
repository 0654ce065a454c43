use std::sync::Arc;
use std::time::Duration;

use crate::interface::{Interface, Pod, Workload, WorkloadKind};
use iface_core::{CounterDetails, Extras, NetnsName, Place};

use super::*;
use crate::metrics::points::{Attributes, PageNames, Reader};
use crate::metrics::series::Accumulator;
use crate::testing::{at, changed, eth0, interface, pod, pod_interface, reading};

fn page(options: Options, format: Format) -> String {
    let odd = Arc::new(Pod { name: "a\"b\\c\nd".into(), ..Pod::clone(&pod("odd")) });
    let interfaces = [
        eth0(1, at(1)),
        pod_interface(2, "eth0", &pod("web"), at(1)),
        pod_interface(3, b"bad\xff\"", &odd, at(1)),
        Arc::new(interface(4, "tun0", Place::Named(NetnsName::new("blue")), at(1))),
    ];
    let mut accumulator = Accumulator::new(options);
    let readings = [1, 2, 3, 4].map(|number| reading(number, number * 1000));
    let points = accumulator.collect(&interfaces, &readings, at(10));
    let identity = Identity { node: "n1".into(), ..Identity::default() };
    text_of(&points, &identity, format)
}

fn text_of(points: &Points, identity: &Identity, format: Format) -> String {
    let own = ResourceMetrics::default();
    let mut text = Vec::new();
    let page = Page { points: Some(points), identity, own: &own, process: Process::default() };
    page.write(format, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn scopes_have_names_and_labels() {
    let text = page(Options::default(), Format::Text);
    let expected = [
        "# TYPE k8s_node_network_io_bytes_total counter\n",
        "k8s_node_network_io_bytes_total{network_interface_name=\"eth0\",network_io_direction=\"receive\",k8s_node_name=\"n1\"} 1000\n",
        "k8s_pod_network_io_bytes_total{k8s_namespace_name=\"default\",k8s_pod_name=\"web\",k8s_pod_uid=\"uid-web\",\
         network_interface_name=\"eth0\",network_io_direction=\"transmit\",k8s_node_name=\"n1\"} 1000\n",
        "k8s_pod_network_interface_up{k8s_namespace_name=\"default\",k8s_pod_name=\"web\",\
         k8s_pod_uid=\"uid-web\",network_interface_name=\"eth0\",k8s_node_name=\"n1\"} 1\n",
        "system_network_packet_count_total{netns_name=\"blue\",network_interface_name=\"tun0\",\
         network_io_direction=\"receive\",k8s_node_name=\"n1\"} 400\n",
        "pod_network_name_info{interface=\"eth0\",namespace=\"default\",network_name=\"cbr0\",pod=\"web\",k8s_node_name=\"n1\"} 0\n",
        "target_info{k8s_node_name=\"n1\",service_instance_id=\"n1\",service_name=\"netns-agent\",",
        "k8s_pod_info{k8s_namespace_name=\"default\",k8s_node_name=\"n1\",k8s_pod_name=\"web\",k8s_pod_uid=\"uid-web\"} 1\n",
    ];
    for line in expected {
        assert!(text.contains(line), "{line}\nnot in\n{text}");
    }
}

#[test]
fn odd_names_are_escaped() {
    let text = page(Options::default(), Format::Text);
    assert!(text.contains(r#"k8s_pod_name="a\"b\\c\nd""#), "{text}");
    assert!(text.contains(r#"network_interface_name="bad\\xff\"""#), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    assert!(lines.clone().all(|line| line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok())));
}

/// Workload and addresses are on the info series, and each info series has the labels of the series that it is
/// joined with.
#[test]
fn info_series_have_workload_and_addresses() {
    let workload = Workload { kind: WorkloadKind::StatefulSet, name: "db".into() };
    let db = Arc::new(Pod { workload: Some(workload), ..Pod::clone(&pod("db-0")) });
    let addresses = Box::new(["10.1.2.3/24".parse().unwrap(), "fd00::3/64".parse().unwrap()]);
    let interfaces = [changed(&pod_interface(1, "eth0", &db, at(1)), |interface| interface.addresses = addresses)];
    let attributes = Attributes { addresses: true, ..Attributes::default() };
    let options = Options { attributes, ..Options::default() }.for_page(PageNames::Native);
    let points = Accumulator::for_reader(Reader::Page, options).collect(&interfaces, &[reading(1, 1)], at(10));
    // The attribute takes precedence, as on the Resources.
    let identity = Identity {
        node: "host".into(),
        attributes: vec![("k8s.node.name".into(), "n1".into())],
        ..Identity::default()
    };
    let text = text_of(&points, &identity, Format::Text);
    let pod = "k8s_namespace_name=\"default\",k8s_pod_name=\"db-0\",k8s_pod_uid=\"uid-db-0\"";
    for expected in [
        &*format!("k8s_pod_network_interface_up{{{pod},network_interface_name=\"eth0\",k8s_node_name=\"n1\"}} 1\n"),
        &*format!(
            "k8s_pod_network_interface_info{{{pod},network_interface_name=\"eth0\",\
             network_interface_mac=\"0A-58-0A-F4-00-05\",netns_name=\"cni-db-0\",cni_network_name=\"cbr0\",\
             network_interface_addresses=\"10.1.2.3,fd00::3\",k8s_node_name=\"n1\"}} 1\n"
        ),
        "k8s_pod_info{k8s_namespace_name=\"default\",k8s_node_name=\"n1\",k8s_pod_name=\"db-0\",\
         k8s_pod_uid=\"uid-db-0\",k8s_statefulset_name=\"db\",k8s_workload_kind=\"StatefulSet\",\
         k8s_workload_name=\"db\"} 1\n",
    ] {
        assert!(text.contains(expected), "{expected}\nnot in\n{text}");
    }
    assert_eq!(text.matches("network_interface_addresses=").count(), 1, "on one series only\n{text}");
}

/// Keys with the same label name are merged, and no name is reserved.
#[test]
fn labels_from_outside_break_no_line() {
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let attributes = pairs(&[("team_name", "b"), ("team.name", "a"), ("__name__", "x"), ("", "y"), ("team-name", "b")]);
    let identity = Identity { node: "n1".into(), attributes, ..Identity::default() };
    let labels = [("k8s.pod.label.ops-managed", "a"), ("k8s.pod.label.ops_managed", "b")];
    let odd = Arc::new(Pod { attributes: pairs(&labels), ..Pod::clone(&pod("odd")) });
    // Made again under its name, with another uid.
    let again = Arc::new(Pod { uid: Some("uid-2".into()), ..Pod::clone(&odd) });
    let interfaces = [pod_interface(1, "eth0", &odd, at(1)), pod_interface(2, "eth0", &again, at(1))];
    let points = Accumulator::default().collect(&interfaces, &[], at(10));
    let text = text_of(&points, &identity, Format::Text);
    for expected in [",team_name=\"b;a;b\"} 1\n", "_name_=\"x\"", "k8s_pod_label_ops_managed=\"a;b\","] {
        assert!(text.contains(expected), "{expected}\nnot in\n{text}");
    }
    let mut samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    samples.sort_unstable();
    assert!(samples.windows(2).all(|pair| pair[0] != pair[1]), "{text}");
}

#[test]
fn openmetrics_page_is_complete() {
    let text = page(Options::default(), Format::OpenMetrics);
    assert!(
        text.contains("# TYPE k8s_pod_network_io_bytes counter\n# UNIT k8s_pod_network_io_bytes bytes\n"),
        "{text}"
    );
    assert!(text.contains("# TYPE target info\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn kubeletstats_names_and_info_metric() {
    let attributes = Attributes { kubeletstats_names: true, ..Attributes::default() };
    let text = page(Options { attributes, opt_in: vec![Measure::Info], ..Options::default() }, Format::Text);
    assert!(text.contains("interface=\"eth0\",direction=\"receive\",k8s_node_name=\"n1\"} 2000\n"), "{text}");
    let info = "interface=\"eth0\",network_interface_mac=\"0A-58-0A-F4-00-05\",netns_name=\"cni-web\",cni_network_name=\"cbr0\",k8s_node_name=\"n1\"} 1";
    assert!(text.contains(info), "{text}");
    assert!(!text.contains("_io_bytes_total{network_interface_mac"));
}

fn page_of(interfaces: &[Arc<Interface>], names: PageNames) -> String {
    let readings: Vec<_> = interfaces.iter().map(|interface| reading(interface.id.0.get(), 100)).collect();
    let options = Options::default().for_page(names);
    let points = Accumulator::for_reader(Reader::Page, options).collect(interfaces, &readings, at(10));
    let identity = Identity { node: "n1".into(), ..Identity::default() };
    text_of(&points, &identity, Format::Text)
}

#[test]
fn kubelet_names_replace_native_ones() {
    let interfaces = [eth0(1, at(1)), pod_interface(2, "eth0", &pod("web"), at(1))];
    let line = "container_network_receive_bytes_total{interface=\"eth0\",namespace=\"default\",network=\"cbr0\",\
                node=\"n1\",pod=\"web\"} 100\n";
    for (names, native, kubelet) in
        [(PageNames::Native, true, false), (PageNames::Kubelet, false, true), (PageNames::Both, true, true)]
    {
        let text = page_of(&interfaces, names);
        assert_eq!(text.contains("k8s_pod_network_io_bytes_total{"), native, "{names:?}\n{text}");
        assert_eq!(text.contains(line), kubelet, "{names:?}\n{text}");
        let kinds = ["receive", "transmit"].map(|direction| text.matches(&format!("network_{direction}_")).count());
        assert_eq!(kinds, if kubelet { [12, 12] } else { [0, 0] }, "{text}");
        // Of other scopes and states, cAdvisor has nothing.
        assert!(text.contains("k8s_node_network_io_bytes_total{"), "{text}");
        assert!(text.contains("k8s_pod_network_interface_up{"), "{text}");
    }
}

/// A pod made again under its name exists twice for a moment, and cAdvisor's labels have no uid.
#[test]
fn kubelet_names_show_newest_pod() {
    let old = pod("db-0");
    let new = Arc::new(Pod { uid: Some("uid-2".into()), ..Pod::clone(&old) });
    let interfaces = [pod_interface(1, "eth0", &old, at(1)), pod_interface(2, "eth1", &new, at(1))];
    let text = page_of(&interfaces, PageNames::Kubelet);
    assert!(text.contains("container_network_receive_bytes_total{interface=\"eth1\""), "{text}");
    assert!(!text.contains("container_network_receive_bytes_total{interface=\"eth0\""), "{text}");
}

#[test]
fn build_and_process_are_shown() {
    let identity = Identity { node: "n1".into(), ..Identity::default() };
    let process = Process { cpu: Some(Duration::from_millis(1500)), start: Some(1_500_000_000), ..Process::default() };
    let page = Page { points: None, identity: &identity, own: &ResourceMetrics::default(), process };
    let mut text = Vec::new();
    page.write(Format::OpenMetrics, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    for expected in [
        concat!("netns_agent_build_info{k8s_node_name=\"n1\",version=\"", env!("CARGO_PKG_VERSION"), "\",arch=\""),
        "# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\n\
         process_cpu_seconds_total{k8s_node_name=\"n1\"} 1.5\n",
        "process_start_time_seconds{k8s_node_name=\"n1\"} 1.5\n",
    ] {
        assert!(text.contains(expected), "{expected}\nnot in\n{text}");
    }
    assert!(!text.contains("process_threads"), "unknown values are left out\n{text}");
}

/// A family is written once, with both directions; unknown values are left out.
#[test]
fn protocols_of_pods_are_shown() {
    let interfaces = [pod_interface(1, "eth0", &pod("web"), at(1)), pod_interface(2, "eth0", &pod("db"), at(1))];
    let mut points = Accumulator::default().collect(&interfaces, &[], at(10));
    let values = std::array::from_fn(|number| (number != 10).then_some(number as u64));
    points.protocols.insert("uid-web".into(), values);
    let identity = Identity { node: "n1".into(), ..Identity::default() };
    let text = text_of(&points, &identity, Format::Text);
    let web = "k8s_namespace_name=\"default\",k8s_pod_name=\"web\",k8s_pod_uid=\"uid-web\"";
    for expected in [
        format!(
            "# TYPE k8s_pod_network_tcp_connections gauge\nk8s_pod_network_tcp_connections{{{web},k8s_node_name=\"n1\"}} 3\n"
        ),
        format!("k8s_pod_network_ip_discards_total{{{web},network_io_direction=\"receive\",k8s_node_name=\"n1\"}} 8\n"),
        format!(
            "k8s_pod_network_ip_discards_total{{{web},network_io_direction=\"transmit\",k8s_node_name=\"n1\"}} 9\n"
        ),
    ] {
        assert!(text.contains(&expected), "{expected}\nnot in\n{text}");
    }
    assert_eq!(text.matches("# TYPE k8s_pod_network_ip_discards_total").count(), 1, "{text}");
    assert!(!text.contains("conntrack_entries{"), "{text}");
}

/// Only OpenMetrics has start times, and an interface older than the agent has none: a wrong start would count its
/// earlier traffic as new.
#[test]
fn created_needs_a_known_start() {
    let interfaces = [eth0(1, at(1)), pod_interface(2, "eth0", &pod("web"), at(7))];
    let readings = [reading(1, 100), reading(2, 100)];
    let options = Options { created: true, ..Options::default().for_page(PageNames::Both) };
    let mut accumulator = Accumulator::for_reader(Reader::Page, options);
    accumulator.synced(at(5));
    let mut page = |now, format| {
        let points = accumulator.collect(&interfaces, &readings, now);
        let identity = Identity { node: "n1".into(), ..Identity::default() };
        let text = text_of(&points, &identity, format);
        // The clock is set back between two pages.
        accumulator.set_back(Duration::from_secs(5));
        text
    };
    let text = page(at(10), Format::OpenMetrics);
    let web = "k8s_namespace_name=\"default\",k8s_pod_name=\"web\",k8s_pod_uid=\"uid-web\",\
               network_interface_name=\"eth0\",network_io_direction=\"receive\",k8s_node_name=\"n1\"";
    let expected =
        format!("k8s_pod_network_io_bytes_total{{{web}}} 100\nk8s_pod_network_io_bytes_created{{{web}}} 7.000000000\n");
    assert!(text.contains(&expected), "{expected}\nnot in\n{text}");
    assert!(text.contains("container_network_receive_bytes_created{"), "{text}");
    assert!(!text.contains("k8s_node_network_io_bytes_created"), "{text}");
    assert!(!page(at(6), Format::OpenMetrics).contains("_created"), "by the new clock, no start is known");
    assert!(!page(at(7), Format::Text).contains("_created"));
}

/// The limits hold for all series of the page.
#[test]
fn both_names_count_as_series() {
    let each = |names| Options::default().for_page(names).series_each();
    assert_eq!(each(PageNames::Kubelet), each(PageNames::Native));
    assert_eq!(each(PageNames::Both), each(PageNames::Native) + 8);
}

#[test]
fn page_returns_write_errors() {
    let identity = Identity { node: "n1".into(), ..Identity::default() };
    let page =
        Page { points: None, identity: &identity, own: &ResourceMetrics::default(), process: Process::default() };
    let mut room = [0; 16];
    assert_eq!(page.write(Format::Text, &mut room[..]).unwrap_err().kind(), io::ErrorKind::WriteZero);
}

/// Errors by reason, and a series for each address to be joined with flow logs.
#[test]
fn details_and_addresses_have_labels() {
    let opt_in = vec![Measure::ErrorReasons, Measure::Multicast, Measure::Address];
    let mut accumulator = Accumulator::for_reader(Reader::Page, Options { opt_in, ..Options::default() });
    let web = changed(&pod_interface(1, "eth0", &pod("web"), at(1)), |interface| {
        interface.addresses = ["10.1.0.2/24", "fd00::2/64"].map(|net| net.parse().unwrap()).into();
        interface.extras = Extras::new(None, Some("to \"b\"".into()), Box::default());
    });
    accumulator.read_details(Arc::new([(web.id, CounterDetails::new(1..=17))].into()));
    let points = accumulator.collect([&web], &[reading(1, 100)], at(10));
    let identity = Identity { node: "n1".into(), ..Identity::default() };
    for format in [Format::Text, Format::OpenMetrics] {
        let text = text_of(&points, &identity, format);
        let labels = "k8s_namespace_name=\"default\",k8s_pod_name=\"web\",k8s_pod_uid=\"uid-web\",network_interface_name=\"eth0\"";
        for line in [
            format!(
                "errors_total{{{labels},error_type=\"crc\",network_io_direction=\"receive\",k8s_node_name=\"n1\"}} 5"
            ),
            format!(
                "errors_total{{{labels},error_type=\"fifo\",network_io_direction=\"transmit\",k8s_node_name=\"n1\"}} 11"
            ),
            format!("packet_multicast_total{{{labels},network_io_direction=\"receive\",k8s_node_name=\"n1\"}} 1"),
            format!(
                "address{{{labels},network_interface_address=\"fd00::2\",network_interface_alias=\"to \\\"b\\\"\",k8s_node_name=\"n1\"}} 1"
            ),
        ] {
            assert!(text.contains(&format!("k8s_pod_network_interface_{line}\n")), "{line}\n{text}");
        }
    }
}
