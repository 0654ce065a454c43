//! Namespaces whose pod nothing but the processes inside names.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream;
use netns_testbed::{Netns, NetnsDir, Rtnl, Test, Veth, tests};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use crate::program::{Listen, Running, command, stdout};
use crate::usage::kubeconfig;

pub(crate) fn tests() -> Vec<Test> {
    tests![processes_name_the_pod_of_a_list, processes_name_the_pod_later].into()
}

const WEB: &str = "5b1f0a00-0000-4000-8000-000000000001";
const DB: &str = "5b1f0a00-0000-4000-8000-000000000002";

fn api_pod(name: &str, uid: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "uid": uid, "resourceVersion": "7",
            "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {"nodeName": "node-1", "containers": []},
        "status": {"phase": "Running"},
    })
}

/// Lists the pods, then watches without an event.
async fn pods(Query(params): Query<Vec<(String, String)>>) -> Response {
    if params.iter().any(|(key, _)| key == "watch") {
        return Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()).into_response();
    }
    let items = [api_pod("web", WEB), api_pod("db", DB)];
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}, "items": items});
    axum::Json(list).into_response()
}

/// Serves an API server of Kubernetes 1.20 with two pods without addresses, until the test's process ends.
fn api_server() {
    let version = json!({"major": "1", "minor": "20", "gitVersion": "", "gitCommit": "", "gitTreeState": "",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
    let version = get(move || async { axum::Json(version) });
    let router = Router::new().route("/api/v1/pods", get(pods)).route("/version", version);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    kubeconfig(&format!("http://{}", listener.local_addr().unwrap()));
    let serve = async move { axum::serve(TcpListener::from_std(listener).unwrap(), router).await.unwrap() };
    std::thread::spawn(|| Builder::new_current_thread().enable_all().build().unwrap().block_on(serve));
}

/// Killed when dropped, and seen by the agent until then.
struct Process(Child, PathBuf);

impl Process {
    /// Only the kubelet puts processes into cgroups of pods, so the agent gets a directory like `/proc`.
    fn start(netns: &Netns, cgroup: &str) -> Self {
        let child = netns.inside(|| Command::new("sleep").arg("600").spawn().unwrap());
        let folder = PathBuf::from(format!("/run/proc/{}", child.id()));
        let whole = PathBuf::from(format!("/run/half-{}", child.id()));
        fs::create_dir_all("/run/proc").unwrap();
        fs::create_dir(&whole).unwrap();
        symlink(format!("/proc/{}/ns", child.id()), whole.join("ns")).unwrap();
        fs::write(whole.join("cgroup"), cgroup).unwrap();
        fs::rename(&whole, &folder).unwrap();
        Self(child, folder)
    }

    fn of(netns: &Netns, uid: &str) -> Self {
        let uid = uid.replace('-', "_");
        Self::start(netns, &format!("0::/kubepods.slice/kubepods-pod{uid}.slice/cri-containerd-ab.scope\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.1);
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const ARGUMENTS: [&str; 10] = [
    "--cni-cache-dir=",
    "--container-dir=",
    "--watch-resource-claims=false",
    "--kubeconfig=/run/kubeconfig",
    "--node-name=node-1",
    "--proc=/run/proc",
    "-o",
    "json",
    "--exclude-interfaces=lo",
    "eth0",
];

/// Pod and source of `eth0` in each namespace.
fn owners() -> Vec<(String, Value, Value)> {
    let list: Vec<Value> = serde_json::from_str(&stdout(&[&["list"], &ARGUMENTS[..]].concat())).unwrap();
    let owner = |one: &Value| {
        let place = one["netns"]["place"].as_str().unwrap().to_owned();
        (place, one["pod"]["name"].clone(), one["pod"]["source"].clone())
    };
    list.iter().map(owner).collect()
}

fn processes_name_the_pod_of_a_list() {
    Rtnl::new().up(&["lo"]);
    api_server();
    let dir = NetnsDir::standard();
    let (web, db) = (dir.add("ns-web"), dir.add("ns-db"));
    let _veths = [Veth::up("veth1", &web, "eth0"), Veth::up("veth2", &db, "eth0")];
    let _monitor = Process::start(&web, "0::/system.slice/crio-conmon.scope\n");
    let _pause = [Process::of(&web, WEB), Process::of(&db, DB)];
    let by_process = |place: &str, name: &str| (place.to_owned(), name.into(), "process".into());
    assert_eq!(owners(), [by_process("ns-db", "db"), by_process("ns-web", "web")]);
    let wide = stdout(&[&["list"], &ARGUMENTS[..6], &["-o", "wide", "--pod", "web"]].concat());
    assert!(wide.lines().skip(1).all(|line| line.contains("process")) && wide.lines().count() == 3, "{wide}");
    // A process of db enters the namespace of web.
    let shell = Process::of(&web, DB);
    let nobody = |place: &str| (place.to_owned(), Value::Null, Value::Null);
    assert_eq!(owners(), [nobody("ns-db"), nobody("ns-web")]);
    drop(shell);
    assert_eq!(owners(), [by_process("ns-db", "db"), by_process("ns-web", "web")]);
}

/// The namespace comes first, then the process; the pod stays after the process.
fn processes_name_the_pod_later() {
    Rtnl::new().up(&["lo"]);
    api_server();
    let dir = NetnsDir::standard();
    fs::create_dir_all("/run/proc").unwrap();
    let watch = Running::start(command(&[&["watch"], &ARGUMENTS[..]].concat()), Listen::Output);
    watch.until(|line| line.contains(r#""Synced""#));
    let web = dir.add("ns-web");
    let _veth = Veth::up("veth1", &web, "eth0");
    let is = |line: &str, event: &str, pod: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let one = &line["interface"];
        line["event"] == event && one["netns"]["place"] == "ns-web" && one["pod"]["name"] == pod
    };
    watch.until(|line| line.contains(r#""Added""#) && line.contains("ns-web"));
    let pause = Process::of(&web, WEB);
    let lines = watch.until(|line| is(line, "Updated", "web"));
    let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(
        (&last["interface"]["pod"]["source"], &last["interface"]["pod"]["uid"]),
        (&"process".into(), &WEB.into())
    );
    drop(pause);
    drop(web);
    watch.until(|line| is(line, "Deleted", "web"));
}
