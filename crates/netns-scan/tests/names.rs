//! Public names of the two crates stay apart.
#![deny(ambiguous_glob_reexports)]

#[allow(unused_imports)]
use iface_core::*;
use netns_scan::*;

/// An ambiguous name would not compile.
#[test]
fn both_crates_can_be_imported_whole() {
    fn follow<I: Informer>(_: impl Fn(WatchOptions) -> Result<I, Error>) {}
    follow(Watcher::start);
    let _ = (Filter::default(), Status::clone, Fault::clone, Counters::default(), Tallies::default());
}
