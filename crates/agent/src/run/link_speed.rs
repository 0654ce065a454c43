//! Reads how fast the host's links are, from sysfs.

use std::path::Path;

use crate::interface::Interface;

use crate::metrics::catalog::{Measure, Scope};
use crate::metrics::points::Points;

/// Directory with the links of the agent's own namespace, `Documentation/ABI/testing/sysfs-class-net`.
pub(super) const SYSFS: &str = "/sys/class/net";

/// Adds the speed of the host's links to their samples where the speed is reported.
///
/// Reads one file for each link with hardware. A link made of software has no speed, although a veth
/// claims 10 Gbit/s.
pub(super) fn add(points: &mut Points, sysfs: &Path) {
    if !points.options.opt_in.contains(&Measure::Bandwidth) {
        return;
    }
    let node = points.groups.iter().filter(|group| group.subject.scope() == Scope::Node);
    for samples in node.map(|group| group.samples.clone()) {
        for sample in &mut points.samples[samples] {
            sample.bandwidth = has_speed(&sample.interface).then(|| read(&sample.interface, sysfs)).flatten();
        }
    }
}

fn has_speed(interface: &Interface) -> bool {
    interface.kind.as_ref().is_none_or(|kind| matches!(kind.as_str(), "bond" | "team"))
}

/// Bytes per second; `None` while the link is down or its driver does not know.
fn read(interface: &Interface, sysfs: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(sysfs.join(interface.name.as_str()?).join("speed")).ok()?;
    let megabits: u64 = text.trim().parse().ok()?;
    (megabits > 0).then(|| megabits.saturating_mul(1_000_000 / 8))
}

#[cfg(test)]
mod tests {

    use iface_core::{Kind, Place};

    use super::*;
    use crate::metrics::points::Options;
    use crate::metrics::series::Accumulator;
    use crate::testing::{at, changed, interface};

    #[test]
    fn only_hardware_links_have_a_speed() {
        let sysfs = tempfile::tempdir().unwrap();
        let links = [
            ("eth0", None, "25000\n", Some(3_125_000_000)),
            ("eth1", None, "-1\n", None),
            ("bond0", Some("bond"), "2000\n", Some(250_000_000)),
            ("veth1", Some("veth"), "10000\n", None),
        ];
        let mut interfaces = Vec::new();
        for ((name, kind, speed, _), number) in links.into_iter().zip(1..) {
            std::fs::create_dir(sysfs.path().join(name)).unwrap();
            std::fs::write(sysfs.path().join(name).join("speed"), speed).unwrap();
            let kind = kind.map(Kind::new);
            interfaces.push(changed(&interface(number, name, Place::Host, at(1)), |interface| interface.kind = kind));
        }
        let options = Options { opt_in: vec![Measure::Bandwidth], ..Options::default() };
        let mut points = Accumulator::new(options).collect(&interfaces, &[], at(10));
        add(&mut points, sysfs.path());
        for (name, _, _, expected) in links {
            let sample = points.samples.iter().find(|sample| sample.interface.name == name).unwrap();
            assert_eq!(sample.bandwidth, expected, "{name}");
        }
    }
}
