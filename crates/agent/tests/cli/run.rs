use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};

use netns_testbed::{Test, tests};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::program::{Listen, Running, command, get};
use crate::receiver::Receiver;
use crate::scene::{Pod, Scene};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        without_otlp_it_serves_the_pods_series_to_scrapers,
        with_otlp_the_receiver_gets_each_pods_bytes_as_the_kernel_counts_them,
        an_address_in_use_ends_the_program_with_one_line,
        a_new_filter_is_in_force_at_once_and_a_fault_changes_nothing,
    ]
    .into()
}

const ADMIN: &str = "127.0.0.1:9465";

fn run(scene: &Scene, more: &[&str]) -> Running {
    let cni = scene.cni.display().to_string();
    let arguments = [&["run", "--log-format", "json", "--cni-cache-dir", &cni, "--node-name", "node-1"], more].concat();
    let running = Running::start(command(&arguments), Listen::Errors);
    running.until(|line| line.contains("\"event.name\":\"agent.synced\""));
    running
}

/// Sends some datagrams out of the pod; there is no neighbour, so give it one it need not ask.
fn traffic(pod: &Pod) {
    pod.netns.inside(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_broadcast(true).unwrap();
        for size in [100, 1000, 50] {
            socket.send_to(&vec![0; size], "10.244.0.255:9").unwrap();
        }
    });
}

/// Bytes as `ip -s link` shows them: received, transmitted.
fn kernel_bytes(pod: &Pod) -> (u64, u64) {
    let text = pod.netns.inside(|| {
        let output =
            std::process::Command::new("ip").args(["-j", "-s", "-s", "link", "show", "eth0"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    let link: Value = serde_json::from_str(&text).unwrap();
    let bytes = |direction: &str| link[0]["stats64"][direction]["bytes"].as_u64().unwrap();
    (bytes("rx"), bytes("tx"))
}

/// IPv6 of the sandbox sends its own packets at its own times; without it counters stand still.
fn quiet(scene: &Scene) {
    for pod in &scene.pods {
        pod.netns.inside(|| {
            let _ = fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1");
        });
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", pod.veth.host()), "1");
    }
}

fn without_otlp_it_serves_the_pods_series_to_scrapers() {
    let scene = Scene::new();
    quiet(&scene);
    traffic(&scene.pods[0]);
    let running = run(&scene, &[]);
    assert_eq!(get(ADMIN, "/readyz").0, "HTTP/1.1 200 OK");
    let (_, page) = get(ADMIN, "/metrics");
    let (_, sent) = kernel_bytes(&scene.pods[0]);
    let series = page.lines().find(|line| {
        let parts = ["k8s_pod_network_io_bytes_total{", "k8s_pod_name=\"web-0\"", "eth0", "transmit"];
        parts.iter().all(|part| line.contains(part))
    });
    let series = series.unwrap_or_else(|| panic!("no series of web-0 in\n{page}"));
    assert!(sent >= 1150 && series.ends_with(&format!(" {sent}")), "{series}, the kernel says {sent}");
    assert!(get(ADMIN, "/v1/lookup?ifindex=2&netns=nowhere").0.contains("404"));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended(), Some(0));
}

fn with_otlp_the_receiver_gets_each_pods_bytes_as_the_kernel_counts_them() {
    let scene = Scene::new();
    quiet(&scene);
    scene.pods.iter().for_each(traffic);
    let receiver = Receiver::start();
    let otlp = ["--otlp-endpoint", &receiver.endpoint, "--otlp-protocol", "grpc", "--export-interval", "1h"];
    let running = run(&scene, &otlp);
    receiver.pod_bytes(|bytes| scene.pods.iter().all(|pod| bytes.contains_key(&key(pod, "transmit"))));
    // What is carried after the only tick can only be in the last export.
    scene.pods.iter().for_each(traffic);
    let totals = |pod: &Pod| {
        let (received, sent) = kernel_bytes(pod);
        [(key(pod, "receive"), received), (key(pod, "transmit"), sent)]
    };
    let kernel: BTreeMap<_, _> = scene.pods.iter().flat_map(totals).collect();
    assert!(scene.pods.iter().all(|pod| kernel[&key(pod, "transmit")] >= 2300), "{kernel:?}");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended(), Some(0));
    receiver.pod_bytes(|bytes| *bytes == kernel);
}

fn key(pod: &Pod, direction: &str) -> (String, String) {
    (pod.uid(), direction.to_owned())
}

fn an_address_in_use_ends_the_program_with_one_line() {
    let scene = Scene::new();
    let _taken = TcpListener::bind(ADMIN).unwrap();
    let cni = scene.cni.display().to_string();
    let output = command(&["run", "--cni-cache-dir", &cni, "--log-level", "error"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().count() == 1 && said.contains(ADMIN) && said.contains("--admin-address"), "{said}");
}

fn a_new_filter_is_in_force_at_once_and_a_fault_changes_nothing() {
    let scene = Scene::new();
    let file = "/run/netns-agent.yaml";
    fs::write(file, "exclude-interfaces: [lo]\n").unwrap();
    let running = run(&scene, &["--config", file]);
    let named = |name: &str| get(ADMIN, "/v1/interfaces").1.matches(&format!(r#""name":"{name}","mac""#)).count();
    assert_eq!((named("eth0"), named("veth0")), (3, 1));
    fs::write(file, "exclude-interfaces: [lo, /^veth/]\n").unwrap();
    running.until(|line| line.contains("interface.deleted") && line.contains("veth2"));
    assert_eq!((named("eth0"), named("veth0")), (3, 0));
    fs::write(file, "exclude-interfaces: [lo\n").unwrap();
    running.until(|line| line.contains("config.refused"));
    running.signal(Signal::SIGHUP);
    running.until(|line| line.contains("config.refused"));
    assert_eq!((named("eth0"), named("veth0")), (3, 0));
}
