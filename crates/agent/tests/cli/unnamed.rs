//! Namespaces without a name, in every output: the pod of a CNI result without a namespace, as of cri-dockerd, and a
//! container of systemd-nspawn.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use netns_testbed::{LinkChange, Netns, NetnsDir, Rtnl, Test, Usage, fewer, figure, tests, write_cni_result};
use serde_json::Value;

use crate::program::{Listen, Running, command, get, listed, stdout};
use crate::run::ADMIN;

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    let many = tests![a_thousand_agree_with_ip, a_thousand_cost_no_more_than_named];
    let tests = tests![
        tables_have_places_and_owners,
        selectors_take_places,
        metrics_and_lookups_have_places,
        late_name_renames_in_outputs,
    ];
    tests.into_iter().chain(many.map(|test| test.limit(Duration::from_secs(180))))
}

const MAC: [u8; 6] = [0x0a, 0x58, 0x0a, 0xf4, 0, 5];

/// The namespaces of a pod and of a container.
pub(crate) struct Unnamed {
    pub(crate) pod: Netns,
    pub(crate) container: Netns,
    pub(crate) cni: PathBuf,
}

impl Unnamed {
    pub(crate) fn new() -> Self {
        Rtnl::new().up(&["lo"]);
        let _standard = NetnsDir::standard();
        let cni = PathBuf::from("/run/cni-results");
        fs::create_dir(&cni).unwrap();
        let [pod, container] = ["veth0", "veth1"].map(|host| {
            let netns = Netns::unnamed();
            Rtnl::new().add_veth(host, "eth0", Some(netns.path()));
            netns
        });
        let rtnl = pod.rtnl();
        rtnl.set("eth0", LinkChange::Mac(MAC));
        rtnl.add_address("eth0", "10.244.0.5/24".parse().unwrap());
        // cri-dockerd names the namespace by a process.
        write_cni_result(&cni, "web-0", &pod, "veth0", MAC, "10.244.0.5/24");
        fs::create_dir_all("/run/systemd/machines").unwrap();
        let end = Rtnl::new().index_of("veth1").unwrap();
        fs::write("/run/systemd/machines/web", format!("SERVICE=systemd-nspawn\nID=aa\nNETIF={end}\n")).unwrap();
        Self { pod, container, cni }
    }

    fn list(&self, more: &[&str]) -> String {
        stdout(&[&["list", "--cni-cache-dir", &self.cni.display().to_string()], more].concat())
    }

    fn names(&self, more: &[&str]) -> String {
        self.list(&[&["-o", "name"], more].concat())
    }
}

fn tables_have_places_and_owners() {
    let scene = Unnamed::new();
    let table = scene.list(&[]);
    for (netns, host, owner) in
        [(&scene.pod, "veth0", "default/web-0"), (&scene.container, "veth1", "systemd-nspawn/web")]
    {
        for (place, name) in [(netns.place(), "eth0"), ("host".into(), host)] {
            let is_its = |line: &&str| line.starts_with(&place) && line.contains(name);
            let line = table.lines().find(is_its).unwrap_or_else(|| panic!("no {place}/{name} in {table}"));
            assert!(line.contains(owner), "{line}");
        }
    }
    let eth0 = &listed(&scene.cni, &["-n", "default", "--pod", "web-0", "eth0"])[0];
    assert_eq!((&eth0["network"], &eth0["pod"]["source"]), (&"cbr0".into(), &"cni-cache".into()));
    assert_eq!((&eth0["netns"]["name"], &eth0["netns"]["place"]), (&Value::Null, &scene.pod.place().into()));
}

/// By place, cookie or owner; a namespace found by a process also by its inode.
fn selectors_take_places() {
    let scene = Unnamed::new();
    let (pod, container) = (scene.pod.place(), scene.container.place());
    let inside = format!("{pod}/eth0\n");
    assert_eq!(scene.names(&["--netns", &pod]), inside);
    assert_eq!(scene.names(&["--include-netns", &pod]), inside);
    assert_eq!(scene.names(&["--exclude-netns", &format!("{container},host")]), inside);
    assert_eq!(scene.names(&["--include-owner", "default/*", "eth0"]), inside);
    if let Some(cookie) = listed(&scene.cni, &["--netns", &pod])[0]["netns"]["cookie"].as_u64() {
        assert_eq!(scene.names(&["--netns", &cookie.to_string()]), inside);
    }
    let lookup = |netns: &str, more: &[&str]| {
        let index = scene.pod.rtnl().index_of("eth0").unwrap().to_string();
        let lookup = ["lookup", &index, "--cni-cache-dir", "/run/cni-results", "--netns", netns];
        stdout(&[&lookup, more].concat())
    };
    assert_eq!(lookup(&pod, &[]), format!("{pod}/eth0 of default/web-0, exact\n"));
    assert_eq!(lookup(&container, &[]), format!("{container}/eth0 of systemd-nspawn/web, exact\n"));
    // Only this process: those of the machine are out of reach from the test's user namespace.
    fs::create_dir("/run/proc").unwrap();
    let mut process = scene.pod.inside(|| Command::new("sleep").arg("infinity").spawn().unwrap());
    let pid = process.id();
    std::os::unix::fs::symlink(format!("/proc/{pid}"), format!("/run/proc/{pid}")).unwrap();
    let inode = scene.pod.identity().1;
    let place = format!("net:[{inode}]");
    for netns in [place.clone(), inode.to_string()] {
        assert_eq!(scene.names(&["--proc", "/run/proc", "--netns", &netns]), format!("{place}/eth0\n"));
        let found = lookup(&netns, &["--proc", "/run/proc"]);
        assert_eq!(found, format!("{place}/eth0 of default/web-0, exact\n"));
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

fn run(scene: &Unnamed) -> Running {
    let cni = scene.cni.display().to_string();
    let arguments = ["run", "--log-format", "json", "--cni-cache-dir", &cni, "--node-name", "node-1"];
    let running = Running::start(command(&arguments), Listen::Errors);
    running.until(|line| line.contains("\"event.name\":\"agent.synced\""));
    running
}

fn metrics_and_lookups_have_places() {
    let scene = Unnamed::new();
    let _running = run(&scene);
    let page = get(ADMIN, "/metrics").1;
    let series = |labels: &[&str]| {
        let is_it =
            |line: &&str| line.contains("network_io_bytes_total{") && labels.iter().all(|label| line.contains(label));
        page.lines().filter(is_it).count()
    };
    let pod = [r#"k8s_pod_name="web-0""#, r#"k8s_namespace_name="default""#, r#"network_interface_name="eth0""#];
    assert_eq!(series(&pod), 2, "{page}");
    let container = [r#"container_name="web""#, r#"network_interface_name="eth0""#];
    assert_eq!(series(&container), 2, "{page}");
    let place = scene.pod.place();
    let answer = get(ADMIN, &format!("/v1/lookup?ifindex=2&netns={place}")).1;
    let parts = [r#""confidence":"exact""#, r#""namespace":"default","name":"web-0""#];
    assert!(parts.iter().all(|part| answer.contains(part)), "{answer}");
    let all = get(ADMIN, &format!("/v1/interfaces?netns={place}")).1;
    let places = |place: &str| all.matches(&format!(r#""netns":{{"name":null,"place":"{place}""#)).count();
    assert_eq!((places(&place), places("host"), places(&scene.container.place())), (1, 0, 0), "{all}");
}

/// The name comes later: the interfaces are renamed, and keep their owner.
fn late_name_renames_in_outputs() {
    let scene = Unnamed::new();
    let cni = scene.cni.display().to_string();
    let watch = Running::start(command(&["watch", "-o", "json", "--cni-cache-dir", &cni]), Listen::Output);
    watch.until(|line| line.contains(r#""Synced""#));
    let place = scene.pod.place();
    let _named = scene.pod.named(&NetnsDir::standard(), "blue");
    let is = |line: &str, event: &str, place: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let one = &line["interface"];
        line["event"] == event
            && one["name"] == "eth0"
            && one["netns"]["place"] == place
            && one["pod"]["name"] == "web-0"
    };
    let lines = watch.until(|line| is(line, "Added", "blue"));
    assert!(lines.iter().any(|line| is(line, "Deleted", &place)), "{lines:?}");
}

/// Sets up a namespace with a veth to the host's.
fn linked(netns: Netns, number: usize) -> Netns {
    Rtnl::new().add_veth(&format!("host{number}"), "eth0", Some(netns.path()));
    netns
}

/// Name, ifindex, link-layer address, kind and addresses of the interfaces inside.
fn by_ip(netns: &Netns) -> Vec<Value> {
    let ip = || Command::new("ip").args(["-j", "-d", "addr"]).output().unwrap().stdout;
    let links: Vec<Value> = serde_json::from_slice(&netns.inside(ip)).unwrap();
    let address = |one: &Value| Value::from(format!("{}/{}", one["local"].as_str().unwrap(), one["prefixlen"]));
    let row = |link: &Value| {
        let mac = match link["link_type"].as_str() {
            Some("loopback") => Value::Null,
            _ => link["address"].clone(),
        };
        let addresses = link["addr_info"].as_array().unwrap().iter().map(address).collect();
        Value::Array(vec![
            link["ifname"].clone(),
            link["ifindex"].clone(),
            mac,
            link["linkinfo"]["info_kind"].clone(),
            addresses,
        ])
    };
    links.iter().map(row).collect()
}

fn a_thousand_agree_with_ip() {
    let made = |number: usize| {
        let netns = linked(Netns::unnamed(), number);
        let address = format!("10.{}.{}.1/24", number / 250, number % 250);
        netns.rtnl().add_address("eth0", address.parse().unwrap());
        netns
    };
    let all: Vec<Netns> = (0..fewer(1_000)).map(made).collect();
    let mut listed = std::collections::BTreeMap::<String, Vec<Value>>::new();
    for one in listed_by(&["--exclude-interfaces="]) {
        let mac = if one["name"] == "lo" { Value::Null } else { one["mac"].clone() };
        let row = vec![one["name"].clone(), one["ifindex"].clone(), mac, one["kind"].clone(), one["addresses"].clone()];
        listed.entry(one["netns"]["place"].as_str().unwrap().to_owned()).or_default().push(row.into());
    }
    assert_eq!(listed.len(), 1 + all.len());
    for netns in &all {
        assert_eq!(listed.get(&netns.place()), Some(&by_ip(netns)), "{}", netns.place());
    }
}

fn listed_by(more: &[&str]) -> Vec<Value> {
    let nothing = ["list", "-o", "json", "--cni-cache-dir=", "--container-dir=", "--watch-pods=false"];
    serde_json::from_str(&stdout(&[&nothing, more].concat())).unwrap()
}

/// Resources for 1,000 namespaces, and for the churn of 500 more; a tenth on an emulated CPU.
struct Cost {
    memory: u64,
    start: Duration,
    churn: Duration,
}

fn cost(make: impl Fn(usize) -> Netns) -> Cost {
    let (alive, brief) = (fewer(1_000), fewer(500));
    let all: Vec<Netns> = (0..alive).map(&make).collect();
    let nothing = ["watch", "-o", "json", "--cni-cache-dir=", "--container-dir=", "--watch-pods=false"];
    let watch = Running::start(command(&nothing), Listen::Output);
    watch.until(|line| line.contains(r#""Synced""#));
    let synced = Usage::of(watch.id());
    (alive..alive + brief).for_each(|number| drop(make(number)));
    Rtnl::new().add_veth("last0", "last1", None);
    watch.until(|line| line.contains("last1"));
    let churned = Usage::of(watch.id());
    Rtnl::new().delete("last0");
    drop((watch, all));
    Cost { memory: churned.anonymous, start: synced.cpu, churn: churned.cpu.saturating_sub(synced.cpu) }
}

fn a_thousand_cost_no_more_than_named() {
    let dir = NetnsDir::standard();
    let named = cost(|number| linked(dir.add(&format!("cni-{number}")), number));
    // The kernel may still be destroying the first namespaces, and their host ends keep the names.
    let unnamed = cost(|number| linked(Netns::unnamed(), 2_000 + number));
    let compare = |what: &str, unnamed: f64, named: f64| {
        figure(format_args!("{what}: {unnamed:.3} without names, {named:.3} with names, ratio {:.2}", unnamed / named));
        assert!(unnamed < named * 1.3, "{what}: {unnamed} without names, {named} with names");
    };
    compare("memory, MiB", unnamed.memory as f64 / 1_048_576.0, named.memory as f64 / 1_048_576.0);
    compare("CPU for the start, s", unnamed.start.as_secs_f64(), named.start.as_secs_f64());
    compare("CPU for the churn, s", unnamed.churn.as_secs_f64(), named.churn.as_secs_f64());
}
