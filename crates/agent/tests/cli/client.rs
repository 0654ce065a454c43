use std::fs;
use std::process::Command;
use std::time::Duration;

use netns_testbed::{NetnsDir, Test, Veth, links_inside, tests};

use crate::program::{Listen, Running};
use crate::run::run;
use crate::scene::Scene;

/// The client of docs/api.md.
const CLIENT: &str = include_str!("../../src/json/document/client.py");
const SOCKET: &str = "/run/netns-agent.sock";
/// Starting the agent and Python takes seconds beside other tests.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn tests() -> Vec<Test> {
    tests![documented_client_follows_the_node].into()
}

fn agent(scene: &Scene) -> Running {
    run(scene, &["--admin-address", "", "--admin-socket", SOCKET, "--exclude-interfaces", ""])
}

/// Reads until the client knows as many interfaces as `ip` shows.
fn until_exact(client: &Running, links: usize) {
    client.until_within(LIMIT, |line| line.split(' ').next() == Some(links.to_string().as_str()));
}

/// The client of the documentation knows what `ip` shows, also after a restart of the agent.
fn documented_client_follows_the_node() {
    let scene = Scene::new();
    let first = agent(&scene);
    fs::write("/run/client.py", CLIENT).unwrap();
    let mut python = Command::new("python3");
    python.args(["/run/client.py", SOCKET]);
    let client = Running::start(python, Listen::Output);
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
