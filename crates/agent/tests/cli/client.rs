use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use netns_testbed::{Netns, NetnsDir, Rtnl, Test, Veth, links_inside, tests};
use nix::sys::signal::Signal;

use crate::program::{Listen, Running};
use crate::run::run;
use crate::scene::Scene;

/// The clients of docs/api.md.
const PYTHON: &str = include_str!("../../src/json/document/client.py");
const GO: &str = include_str!("../../src/json/document/client.go");
const SOCKET: &str = "/run/netns-agent.sock";
const BETWEEN: &str = "/run/between.sock";
/// Starting the agent and Python takes seconds beside other tests.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn tests() -> Vec<Test> {
    tests![documented_client_follows_the_node, documented_clients_go_on_after_a_cut].into()
}

fn agent(scene: &Scene) -> Running {
    run(scene, &["--admin-address", "", "--admin-socket", SOCKET, "--exclude-interfaces", ""])
}

fn python(socket: &str) -> Running {
    fs::write("/run/client.py", PYTHON).unwrap();
    let mut python = Command::new("python3");
    python.args(["/run/client.py", socket]);
    Running::start(python, Listen::Output)
}

/// Debian keeps a version without the link `go` in a folder of its own.
fn go() -> PathBuf {
    let found = |dir: PathBuf| Some(dir.join("go")).filter(|program| program.is_file());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let versions = versions.filter(|dir| dir.to_string_lossy().contains("/go-"));
    std::env::split_paths(&path).chain(versions).find_map(found).expect("Go is installed: run tests/tools.sh once")
}

fn compiled(socket: &str) -> Running {
    fs::write("/run/client.go", GO).unwrap();
    let mut build = Command::new(go());
    build.args(["build", "-o", "/run/client", "/run/client.go"]);
    build.env("GOCACHE", "/run/go-cache").env("GO111MODULE", "off").env("CGO_ENABLED", "0");
    assert!(build.status().unwrap().success(), "docs/api.md has a program in Go with faults");
    let mut client = Command::new("/run/client");
    client.arg(socket);
    Running::start(client, Listen::Output)
}

/// Reads until the client knows as many interfaces as `ip` shows.
fn until_exact(client: &Running, links: usize) {
    client.until_within(LIMIT, |line| line.split(' ').next() == Some(links.to_string().as_str()));
}

/// The client of the documentation knows what `ip` shows, also after a restart of the agent.
fn documented_client_follows_the_node() {
    let scene = Scene::new();
    let first = agent(&scene);
    let client = python(SOCKET);
    client.until_within(LIMIT, |line| line.ends_with(" Synced "));
    let dir = NetnsDir::standard();
    let later: Vec<_> = (0..20).map(|number| dir.add(&format!("later{number}"))).collect();
    let veths: Vec<_> = later.iter().map(|netns| Veth::new(&format!("h-{}", netns.name()), netns, "eth0")).collect();
    let all = later.iter().chain(scene.pods.iter().map(|pod| &pod.netns));
    let links = links_inside(None).len() + all.map(|netns| links_inside(Some(netns)).len()).sum::<usize>();
    until_exact(&client, links);
    drop(first);
    // Both ends of each veth go while nobody watches.
    drop(veths);
    let _second = agent(&scene);
    until_exact(&client, links - 40);
}

/// Connections between clients and the agent, which the test can cut.
#[derive(Clone, Default)]
struct Between(Arc<Mutex<Connections>>);

#[derive(Default)]
struct Connections {
    closed: bool,
    open: Vec<UnixStream>,
    /// First lines of the requests.
    requests: Vec<String>,
}

impl Between {
    fn start() -> Self {
        let between = Self::default();
        let listener = UnixListener::bind(BETWEEN).unwrap();
        let accepting = between.clone();
        thread::spawn(move || listener.incoming().flatten().for_each(|client| accepting.clone().connect(client)));
        between
    }

    fn with<T>(&self, change: impl FnOnce(&mut Connections) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A closed connection is the answer while all are cut.
    fn connect(self, mut client: UnixStream) {
        if self.with(|all| all.closed) {
            return;
        }
        let mut agent = UnixStream::connect(SOCKET).unwrap();
        let (mut to_agent, mut to_client) = (agent.try_clone().unwrap(), client.try_clone().unwrap());
        self.with(|all| all.open.push(client.try_clone().unwrap()));
        thread::spawn(move || {
            let mut request = [0; 4096];
            while let Ok(read @ 1..) = client.read(&mut request) {
                let text = String::from_utf8_lossy(&request[..read]);
                self.with(|all| all.requests.extend(text.lines().next().map(str::to_owned)));
                if to_agent.write_all(&request[..read]).is_err() {
                    break;
                }
            }
            let _ = to_agent.shutdown(Shutdown::Both);
        });
        thread::spawn(move || {
            let _ = std::io::copy(&mut agent, &mut to_client);
            let _ = to_client.shutdown(Shutdown::Both);
        });
    }

    /// Ends all connections, and refuses further ones.
    fn cut(&self) {
        self.with(|all| {
            all.closed = true;
            all.open.drain(..).for_each(|client| drop(client.shutdown(Shutdown::Both)));
        });
    }

    fn mend(&self) {
        self.with(|all| all.closed = false);
    }
}

/// Makes namespaces with a link to the host each, and deletes three quarters of them.
fn churn(dir: &NetnsDir, round: usize) -> Vec<(Veth, Netns)> {
    let make = |number| {
        let netns = dir.add(&format!("r{round}n{number}"));
        (Veth::new(&format!("h{round}n{number}"), &netns, "eth0"), netns)
    };
    let mut made: Vec<_> = (0..50).map(make).collect();
    made.truncate(12);
    made
}

/// One client is stopped for a while, and the connections of both are cut while namespaces come and go. Both go on from
/// the last line that they have read, and know what `ip` shows.
fn documented_clients_go_on_after_a_cut() {
    let scene = Scene::new();
    let _agent = agent(&scene);
    let between = Between::start();
    let clients = [python(BETWEEN), compiled(BETWEEN)];
    for client in &clients {
        client.until_within(LIMIT, |line| line.ends_with(" Synced "));
    }
    let before = links_inside(None).len();
    let dir = NetnsDir::standard();
    let mut kept = churn(&dir, 0);
    clients[0].signal(Signal::SIGSTOP);
    kept.extend(churn(&dir, 1));
    clients[0].signal(Signal::SIGCONT);
    between.cut();
    kept.extend(churn(&dir, 2));
    between.mend();
    kept.extend(churn(&dir, 3));
    // Each namespace has a veth and the loopback, and the host the other end of the veth.
    let inside: usize = scene.pods.iter().map(|pod| links_inside(Some(&pod.netns)).len()).sum();
    let links = links_inside(None).len() + inside + 2 * kept.len();
    assert_eq!(links_inside(None).len(), before + kept.len());
    clients.iter().for_each(|client| until_exact(client, links));
    // The count is not a coincidence on the way: the next change counts on from there.
    Rtnl::new().add_link("bridge", "marker");
    let expected = format!("{} Added marker", links + 1);
    for client in &clients {
        let seen = client.until_within(LIMIT, |line| line.contains(" marker"));
        assert_eq!(seen.last(), Some(&expected));
    }
    let requests = between.with(|all| all.requests.clone());
    assert!(requests.iter().filter(|line| line.contains("/v1/watch?resume=")).count() >= 2, "{requests:?}");
    assert_eq!(requests.iter().filter(|line| line.contains("/v1/watch ")).count(), 2, "{requests:?}");
}
