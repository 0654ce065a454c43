//! Counts the interfaces that should have a pod and have none.

use iface_core::FilterHandle;

use crate::interface::Lookup;
use crate::owner::is_sandbox_name;

/// The interfaces without an owner in namespaces that a container runtime has named, as far as the filter allows the
/// namespace. Namespaces with other names, as of `ip netns add`, are nobody's.
pub(super) fn count(lookup: &Lookup, filter: &FilterHandle) -> u64 {
    let (filter, mut count) = (filter.filter(), 0);
    lookup.for_each(|interface| {
        let is_untagged = interface.owner.is_none()
            && interface.netns.name().is_some_and(is_sandbox_name)
            && filter.allows_netns(&interface.netns);
        count += u64::from(is_untagged);
    });
    count
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use futures_util::{FutureExt, StreamExt, stream};
    use iface_core::{Filter, Filtered, NetnsName, Place, Registerer};

    use super::*;
    use crate::interface::Event;
    use crate::testing;

    /// An alert on untagged interfaces must be able to end beside namespaces that are nobody's.
    #[test]
    fn namespaces_of_nobody_do_not_count() {
        const NONE: &[&str] = &[];
        let names =
            ["cni-59ac14c9-05eb-47fb-b6ab-f2c71732a6d7", "qrouter-59ac14c9-05eb-47fb-b6ab-f2c71732a6d7", "blue"];
        let places = names.map(|name| Place::Named(NetnsName::new(name))).into_iter().chain([Place::Host]);
        let untagged = places.enumerate().map(|(at, place)| {
            let number = at as u64 + 1;
            Event::Added(testing::interface(number, "eth0", place, UNIX_EPOCH).into())
        });
        let tagged = Event::Added(testing::pod_interface(9, "eth0", &testing::pod("web-0"), UNIX_EPOCH));
        let incoming = stream::iter(untagged.chain([tagged]));
        let mut events = Filtered::new(Registerer::new(incoming), Filter::everything());
        let (lookup, filter) = (events.lookup(), events.handle());
        while events.next().now_or_never().flatten().is_some() {}
        assert_eq!((lookup.len(), count(&lookup, &filter)), (5, 1));
        filter.set(Filter::everything().with_netns(NONE, &["/^cni-/"]).unwrap());
        assert_eq!(count(&lookup, &filter), 0);
    }
}
