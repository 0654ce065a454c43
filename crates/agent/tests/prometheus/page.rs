//! A node whose counters grow from page to page.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use iface_core::{EventKind, NetnsName, OperState, Place};
use netns_agent::export::otlp;
use netns_agent::export::prometheus::{Format, Page, Process};
use netns_agent::export::resource::Identity;
use netns_agent::interface::{Interface, Pod, Workload, WorkloadKind};
use netns_agent::metrics::catalog::Measure;
use netns_agent::metrics::own::{Exported, Observed, OwnMetrics};
use netns_agent::metrics::points::{Options, PageNames, Reader};
use netns_agent::metrics::series::Accumulator;
use netns_agent::testing::{at, eth0, interface, pod, pod_interface, reading};

pub(crate) struct Node {
    accumulator: Accumulator,
    own: OwnMetrics,
    pages: u64,
}

impl Node {
    pub(crate) fn new(names: PageNames) -> Self {
        let opt_in = vec![Measure::CarrierChanges, Measure::Mtu, Measure::Bandwidth];
        let mut options = Options { opt_in, ..Options::default() }.for_page(names);
        options.created = names == PageNames::Both;
        let mut accumulator = Accumulator::for_reader(Reader::Page, options);
        // Every interface is new, so every start is known.
        accumulator.synced(at(0));
        Self {
            accumulator,
            own: OwnMetrics::new(|| Observed { interfaces: 5, namespaces: 4, ..Observed::default() }, || 0),
            pages: 0,
        }
    }

    /// The next page: 10,000 bytes more on each interface, and the state of one of them changed.
    pub(crate) fn page(&mut self, format: Format) -> String {
        self.pages += 1;
        let mut down = Interface::clone(&pod_interface(3, "net1", &pod("db"), at(1)));
        down.oper_state = if self.pages.is_multiple_of(2) { OperState::Up } else { OperState::Down };
        let mut always_down = Interface::clone(&pod_interface(6, "tun1", &pod("db"), at(1)));
        always_down.oper_state = OperState::Down;
        let odd = Arc::new(Pod { name: "quote\" back\\slash\nline".into(), ..Pod::clone(&pod("odd")) });
        let mut flapping = Interface::clone(&eth0(1, at(1)));
        flapping.oper_state = down.oper_state;
        let interfaces = [
            Arc::new(flapping),
            pod_interface(2, "eth0", &web(), at(1)),
            Arc::new(down),
            pod_interface(4, b"bad\xff", &odd, at(1)),
            Arc::new(interface(5, "tun0", Place::Named(NetnsName::new("blue")), at(1))),
            Arc::new(always_down),
        ];
        let readings: Vec<_> = (1..=6)
            .map(|number| {
                let mut reading = reading(number, self.pages * 10_000);
                (reading.counters.receive.errors, reading.counters.transmit.dropped) = (self.pages, self.pages * 2);
                reading
            })
            .collect();
        let mut points = self.accumulator.collect(&interfaces, &readings, SystemTime::now());
        // Growing, each by another amount.
        let values = std::array::from_fn(|number| Some(self.pages * (number as u64 + 1)));
        points.protocols.insert("uid-web".to_owned(), values);
        let links = points.samples.iter_mut().filter(|sample| sample.interface.netns.is_host());
        links.for_each(|link| link.bandwidth = Some(125_000_000));
        self.work();
        let identity = Identity { node: "node-1".into(), ..Identity::default() };
        let own = otlp::own_metrics(&self.own, &identity);
        let process = Process {
            cpu: Some(Duration::from_millis(20 * self.pages)),
            open_fds: Some(30),
            max_fds: Some(1024),
            virtual_memory: Some(1 << 28),
            resident_memory: Some(20 << 20),
            threads: Some(2),
            start: Some(1_700_000_000_500_000_000),
        };
        let mut text = Vec::new();
        Page { points: Some(&points), identity: &identity, own: &own, process }.write(format, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// One event of each kind, a reading, and failed exports.
    fn work(&self) {
        for kind in [EventKind::Added, EventKind::Updated, EventKind::Deleted] {
            self.own.event(kind);
        }
        self.own.collected(Duration::from_millis(12));
        self.own.event_logs_dropped(1);
        self.own.ended_dropped(1);
        for signal in ["metrics", "logs"] {
            let failure = Some("timeout");
            let took = Duration::from_millis(30);
            self.own.exported(Exported { signal, took, accepted: 10, rejected: 1, retries: 1, failure });
        }
    }
}

/// A pod of a Deployment, with a label.
fn web() -> Arc<Pod> {
    let workload = Workload { kind: WorkloadKind::Deployment, name: "front".into() };
    let attributes = vec![("k8s.pod.label.team".to_owned(), "shop".to_owned())];
    Arc::new(Pod { workload: Some(workload), attributes, ..Pod::clone(&pod("web")) })
}
