//! Network namespaces, links, addresses and programs beside them, as values that clean up when dropped.
//!
//! Every test runs in a process of its own, in a user, mount and network namespace of its own: the test is
//! root there and nowhere else, sees nothing of the machine, and leaves nothing behind, even after a
//! crash. No privilege is needed, and where user namespaces are forbidden the test fails with the
//! reason.
//!
//! ```no_run
//! use netns_testbed::{NetnsDir, Suite, Veth, tests};
//!
//! fn a_veth_has_two_ends() {
//!     let dir = NetnsDir::standard();
//!     let pod = dir.add("pod");
//!     let veth = Veth::new("host0", &pod, "eth0");
//!     assert!(pod.rtnl().index_of("eth0").is_some());
//!     drop(veth);
//!     assert!(pod.rtnl().index_of("eth0").is_none());
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Suite::new().tests(tests![a_veth_has_two_ends]).main()
//! }
//! ```
//!
//! Every function panics when the kernel refuses a request, at the line of the caller: a test
//! without its scene has failed.

mod http;
mod inside;
mod limits;
mod link;
mod netns;
mod observer;
mod oracle;
mod pod;
mod program;
mod replay;
mod resources;
mod rotel;
mod rtnl;
mod sandbox;
mod suite;
mod throttle;
mod traffic;

pub use http::get;
pub use inside::inside;
pub use limits::{fewer, scaled};
pub use link::{Bridge, Tun, Veth};
pub use netns::{Alias, Netns, NetnsDir, Reserved};
pub use observer::Observer;
pub use oracle::{LinkTruth, links_inside};
pub use pod::{Pod, write_cni_result};
pub use program::{LIMIT, Listen, Running, free_ports};
pub use replay::Replay;
pub use resources::{Footprint, Usage, resident_bytes};
pub use rotel::{Rotel, Verbosity};
pub use rtnl::{LinkChange, Rtnl};
pub use sandbox::{Error as SandboxError, enter as enter_sandbox};
pub use suite::{Suite, Test, figure};
pub use throttle::Throttle;
pub use traffic::QuietVeth;
