//! Three pods as a container runtime leaves them.

use std::fs;
use std::path::PathBuf;

pub(crate) use netns_testbed::Pod;
use netns_testbed::{NetnsDir, Rtnl};

/// Three pods, and where their CNI results are.
pub(crate) struct Scene {
    pub(crate) pods: Vec<Pod>,
    pub(crate) cni: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Rtnl::new().up(&["lo"]);
        let dir = NetnsDir::standard();
        let cni = PathBuf::from("/run/cni-results");
        fs::create_dir(&cni).unwrap();
        let pods = (0..).zip(["web-0", "web-1", "db-0"]).map(|(number, name)| Pod::add(&dir, &cni, number, name));
        Self { pods: pods.collect(), cni }
    }
}
