//! The table of counters, and their values in the texts of the kernel.

use crate::metrics::catalog::Instrument;

/// Number of series for each pod.
pub const SERIES: usize = 12;

/// Values in the order of [`TABLE`]; `None` where the kernel has none.
pub type Values = [Option<u64>; SERIES];

/// A series of each pod.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// The name after `k8s.pod.network.`; entries with the same name follow each other.
    pub suffix: &'static str,
    /// Instrument.
    pub instrument: Instrument,
    /// UCUM unit.
    pub unit: &'static str,
    /// `receive` or `transmit`, where the name has both.
    pub direction: Option<&'static str>,
    /// A sentence.
    pub description: &'static str,
    source: Source,
}

/// Fields of the texts; a sum where IPv4 and IPv6 count apart.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A field of a protocol in `snmp`.
    Snmp(&'static str, &'static str),
    /// A field of `snmp`, and one of `snmp6` to add.
    BothFamilies(&'static str, &'static str, &'static str),
    /// A field of `TcpExt` in `netstat`.
    TcpExt(&'static str),
    /// Entries in `stat/nf_conntrack`.
    Entries,
    /// The limit of entries.
    Limit,
}

const fn counter(suffix: &'static str, unit: &'static str, source: Source, description: &'static str) -> Counter {
    Counter { suffix, instrument: Instrument::Counter, unit, direction: None, description, source }
}

const fn state(suffix: &'static str, unit: &'static str, source: Source, description: &'static str) -> Counter {
    Counter { instrument: Instrument::UpDownCounter, ..counter(suffix, unit, source, description) }
}

const fn discards(direction: &'static str, source: Source) -> Counter {
    const TEXT: &str = "IP packets that were discarded although they had no errors, for lack of memory for example.";
    Counter { direction: Some(direction), ..counter("ip.discards", "{packet}", source, TEXT) }
}

/// Every counter. Fields: `Documentation/networking/snmp_counter.rst` of the kernel.
pub const TABLE: [Counter; SERIES] = [
    counter(
        "tcp.retransmits",
        "{segment}",
        Source::Snmp("Tcp", "RetransSegs"),
        "TCP segments that were transmitted again.",
    ),
    counter("tcp.resets.sent", "{segment}", Source::Snmp("Tcp", "OutRsts"), "TCP segments with RST that were sent."),
    counter(
        "tcp.connections.reset",
        "{connection}",
        Source::Snmp("Tcp", "EstabResets"),
        "Established TCP connections that were reset.",
    ),
    state("tcp.connections", "{connection}", Source::Snmp("Tcp", "CurrEstab"), "Established TCP connections."),
    counter(
        "tcp.listen.overflows",
        "{connection}",
        Source::TcpExt("ListenOverflows"),
        "TCP connections dropped because the queue of the listening socket was full.",
    ),
    counter(
        "tcp.listen.drops",
        "{connection}",
        Source::TcpExt("ListenDrops"),
        "TCP connections dropped by a listening socket for any reason.",
    ),
    counter(
        "udp.receive_buffer.errors",
        "{packet}",
        Source::BothFamilies("Udp", "RcvbufErrors", "Udp6RcvbufErrors"),
        "UDP packets dropped because the receive buffer of the socket was full.",
    ),
    counter(
        "udp.send_buffer.errors",
        "{packet}",
        Source::BothFamilies("Udp", "SndbufErrors", "Udp6SndbufErrors"),
        "UDP packets not sent because the send buffer of the socket was full.",
    ),
    discards("receive", Source::BothFamilies("Ip", "InDiscards", "Ip6InDiscards")),
    discards("transmit", Source::BothFamilies("Ip", "OutDiscards", "Ip6OutDiscards")),
    state(
        "conntrack.entries",
        "{entry}",
        Source::Entries,
        "Connections that conntrack follows in the namespace of the pod.",
    ),
    state("conntrack.limit", "{entry}", Source::Limit, "Limit of conntrack entries for each namespace."),
];

/// Texts of the kernel about one namespace; a file that does not exist is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Texts {
    /// `/proc/PID/net/snmp`.
    pub(super) snmp: String,
    /// `/proc/PID/net/snmp6`.
    pub(super) snmp6: String,
    /// `/proc/PID/net/netstat`.
    pub(super) netstat: String,
    /// `/proc/PID/net/stat/nf_conntrack`.
    pub(super) conntrack: String,
    /// `/proc/sys/net/netfilter/nf_conntrack_max`, which is the same for all namespaces.
    pub(super) limit: Option<u64>,
}

impl Texts {
    /// The values of all counters.
    pub(super) fn values(&self) -> Values {
        TABLE.map(|counter| match counter.source {
            Source::Snmp(protocol, field) => in_pairs(&self.snmp, protocol, field),
            Source::BothFamilies(protocol, field, six) => {
                let (four, six) = (in_pairs(&self.snmp, protocol, field), in_lines(&self.snmp6, six));
                // Without IPv6 in the kernel, no `snmp6` exists.
                four.map(|four| four + six.unwrap_or_default())
            }
            Source::TcpExt(field) => in_pairs(&self.netstat, "TcpExt", field),
            Source::Entries => entries(&self.conntrack),
            Source::Limit => self.limit.filter(|_| !self.conntrack.is_empty()),
        })
    }
}

/// A field in pairs of lines: `Tcp: RtoAlgorithm RtoMin …`, then `Tcp: 1 200 …`.
fn in_pairs(text: &str, protocol: &str, field: &str) -> Option<u64> {
    let mut lines = text.split('\n').filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(':'));
    let (names, values) = (lines.next()?, lines.next()?);
    let place = names.split(' ').position(|name| name == field)?;
    values.split(' ').nth(place)?.parse().ok()
}

/// A field in lines of name and value.
fn in_lines(text: &str, field: &str) -> Option<u64> {
    let value = text.split('\n').find_map(|line| line.strip_prefix(field)?.strip_prefix([' ', '\t']))?;
    value.trim().parse().ok()
}

/// The first column of any line below the heading: the number of entries, hexadecimal, on the line of each CPU.
fn entries(text: &str) -> Option<u64> {
    let column = text.lines().nth(1)?.split_whitespace().next()?;
    u64::from_str_radix(column, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let texts = Texts {
            snmp: "Ip: Forwarding InDiscards OutDiscards\nIp: 1 7 8\nTcp: RtoMin MaxConn EstabResets CurrEstab RetransSegs OutRsts\n\
                   Tcp: 200 -1 3 2 1 4\nUdp: RcvbufErrors SndbufErrors\nUdp: 10 20\nUdpLite: RcvbufErrors\nUdpLite: 5\n"
                .into(),
            snmp6: "Ip6InDiscards   \t100\nIp6OutDiscards\t0\nUdp6RcvbufErrors \t1000\n".into(),
            netstat: "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 9 5 6\nIpExt: InOctets\nIpExt: 1\n".into(),
            conntrack: "entries  clashres\n0000001f  00000000\n0000001f  00000001\n".into(),
            limit: Some(262_144),
        };
        let expected = [1, 4, 3, 2, 5, 6, 1010, 20, 107, 8, 31, 262_144];
        assert_eq!(texts.values(), expected.map(Some));
    }

    #[test]
    fn missing_files_have_no_values() {
        assert_eq!(Texts { limit: Some(1), ..Texts::default() }.values(), [None; SERIES]);
        let cut = Texts { snmp: "Tcp: RetransSegs\n".into(), conntrack: "entries\n".into(), ..Texts::default() };
        assert_eq!(cut.values(), [None; SERIES]);
    }
}
