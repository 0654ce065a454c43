//! Message and attribute types that neither `netlink-packet-route` nor `libc` exports.
//!
//! `netlink-packet-route` reads and writes every message in use here, but its attribute types are
//! private. `libc` names most of them; the remaining values are from the kernel headers.

/// `RTM_NEWSTATS` (`linux/rtnetlink.h`); `libc` has it for glibc only.
pub(crate) const RTM_NEWSTATS: u16 = 92;
/// `IFLA_STATS_LINK_64` (`linux/if_link.h`).
pub(crate) const IFLA_STATS_LINK_64: u16 = 1;
/// `NETNSA_NSID` (`linux/net_namespace.h`).
pub(crate) const NETNSA_NSID: u16 = 1;
/// "Any free nsid" as the value of `NETNSA_NSID`.
pub(crate) const ANY_NSID: i32 = -1;
