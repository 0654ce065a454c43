use std::process::Command;

use crate::netns::Netns;
use crate::rtnl::Rtnl;

/// A veth pair with an end in the test's own namespace and an end inside another.
///
/// Dropping the pair deletes both ends, even after a move.
#[derive(Debug)]
pub struct Veth {
    host: String,
}

impl Veth {
    /// `host` here, `inner` in `netns`, both down.
    #[track_caller]
    #[must_use]
    pub fn new(host: &str, netns: &Netns, inner: &str) -> Self {
        Rtnl::new().add_veth(host, inner, Some(netns.path()));
        Self { host: host.to_owned() }
    }

    /// The same, both up.
    #[track_caller]
    #[must_use]
    pub fn up(host: &str, netns: &Netns, inner: &str) -> Self {
        let veth = Self::new(host, netns, inner);
        Rtnl::new().up(&[host]);
        netns.rtnl().up(&[inner]);
        veth
    }

    /// The name of the end in the test's own namespace.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Leaves the pair to its namespaces: the first deleted namespace ends the pair.
    ///
    /// The kernel deletes thousands of namespaces together faster than as many links one by one.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        // The link is already gone if its namespace was deleted first.
        Rtnl::new().delete_if_there(&self.host);
    }
}

/// A bridge in a namespace; `None` is the test's own.
#[derive(Debug)]
pub struct Bridge<'a> {
    netns: Option<&'a Netns>,
    name: String,
}

impl<'a> Bridge<'a> {
    /// Without ports, down.
    #[track_caller]
    #[must_use]
    pub fn new(netns: Option<&'a Netns>, name: &str) -> Self {
        rtnl(netns).add_link("bridge", name);
        Self { netns, name: name.to_owned() }
    }
}

impl Drop for Bridge<'_> {
    fn drop(&mut self) {
        rtnl(self.netns).delete_if_there(&self.name);
    }
}

/// A tun device, which has no link-layer address, in a namespace; `None` is the test's own.
#[derive(Debug)]
pub struct Tun<'a> {
    netns: Option<&'a Netns>,
    name: String,
}

impl<'a> Tun<'a> {
    /// Persistent, without a program behind it, down.
    #[track_caller]
    #[must_use]
    pub fn new(netns: Option<&'a Netns>, name: &str) -> Self {
        // rtnetlink cannot create a tun: `ip` uses ioctl(TUNSETIFF).
        let add = || Command::new("ip").args(["tuntap", "add", "dev", name, "mode", "tun"]).output();
        let output = match netns {
            Some(netns) => netns.inside(add),
            None => add(),
        };
        match output {
            Ok(output) if output.status.success() => Self { netns, name: name.to_owned() },
            Ok(output) => panic!(
                "cannot make the tun {name}: {}: this user must be allowed to open /dev/net/tun (mode 0666 on most systems)",
                String::from_utf8_lossy(&output.stderr).trim()
            ),
            Err(e) => panic!("cannot run ip: {e}: install iproute2"),
        }
    }
}

impl Drop for Tun<'_> {
    fn drop(&mut self) {
        rtnl(self.netns).delete_if_there(&self.name);
    }
}

fn rtnl(netns: Option<&Netns>) -> Rtnl {
    netns.map_or_else(Rtnl::new, Netns::rtnl)
}
