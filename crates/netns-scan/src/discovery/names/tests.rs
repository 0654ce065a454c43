use proptest::prelude::*;

use super::*;

const HOST: Sight = sight(1, 1);

const fn sight(inode: u64, mount: u64) -> Sight {
    Sight { file: NsFile { dev: 4, inode }, cookie: None, mount }
}

fn name(text: &str) -> Name {
    (0, NetnsName::new(text))
}

fn see(names: &mut Names, text: &str, inode: Option<u64>) -> Vec<Change> {
    let mut changes = Vec::new();
    names.see(name(text), inode.map(|inode| sight(inode, 1)), &mut changes);
    changes
}

#[test]
fn a_reused_inode_is_another_namespace() {
    let mut names = Names::new(HOST);
    assert_eq!(see(&mut names, "a", Some(7)), [Change::Opened(NetnsId(1), name("a"))]);
    assert_eq!(see(&mut names, "a", None), [Change::Closed(NetnsId(1))]);
    assert_eq!(see(&mut names, "a", Some(7)), [Change::Opened(NetnsId(2), name("a"))]);
}

/// The first name stays the primary one as long as it exists.
#[test]
fn two_names_make_one_namespace() {
    let mut names = Names::new(HOST);
    see(&mut names, "b", Some(7));
    assert_eq!(see(&mut names, "a", Some(7)), []);
    assert_eq!(see(&mut names, "b", None), [Change::Renamed(NetnsId(1), name("a"))]);
    assert_eq!(see(&mut names, "a", None), [Change::Closed(NetnsId(1))]);
}

#[test]
fn the_hosts_namespace_stays_one() {
    let mut names = Names::new(HOST);
    assert_eq!(see(&mut names, "host", Some(1)), []);
    assert_eq!(see(&mut names, "host", None), []);
}

#[test]
fn a_moved_name_closes_before_it_opens() {
    let mut names = Names::new(HOST);
    see(&mut names, "a", Some(7));
    let changes = see(&mut names, "a", Some(8));
    assert_eq!(changes, [Change::Closed(NetnsId(1)), Change::Opened(NetnsId(2), name("a"))]);
}

/// A name whose mount or cookie changed leads to another namespace, even with the same inode.
#[test]
fn a_new_mount_is_another_namespace() {
    for (second, third) in [
        (Sight { mount: 2, ..sight(7, 1) }, Sight { mount: 3, ..sight(7, 1) }),
        (Sight { cookie: NonZeroU64::new(5), ..sight(7, 1) }, Sight { cookie: NonZeroU64::new(6), ..sight(7, 1) }),
    ] {
        let mut names = Names::new(HOST);
        see(&mut names, "a", Some(7));
        let mut changes = Vec::new();
        names.see(name("a"), Some(second), &mut changes);
        names.see(name("a"), Some(third), &mut changes);
        names.see(name("a"), Some(third), &mut changes);
        let opened = |number| Change::Opened(NetnsId(number), name("a"));
        assert_eq!(changes, [Change::Closed(NetnsId(1)), opened(2), Change::Closed(NetnsId(2)), opened(3)]);
    }
}

/// With a cookie, a second mount of a namespace is the same namespace.
#[test]
fn a_cookie_outlasts_its_mount() {
    let mut names = Names::new(HOST);
    let mut changes = Vec::new();
    let first = Sight { cookie: NonZeroU64::new(5), ..sight(7, 1) };
    names.see(name("a"), Some(first), &mut changes);
    names.see(name("a"), Some(Sight { mount: 2, ..first }), &mut changes);
    names.see(name("b"), Some(Sight { mount: 3, ..first }), &mut changes);
    assert_eq!(changes, [Change::Opened(NetnsId(1), name("a"))]);
    assert_eq!((names.cookie(NetnsId(1)), names.unproven(&name("c"), &first)), (first.cookie, vec![]));
}

/// Without cookies, the names of an inode are looked at before a new name joins them.
#[test]
fn names_are_proven_before_a_join() {
    let mut names = Names::new(HOST);
    see(&mut names, "a", Some(7));
    assert_eq!(names.unproven(&name("b"), &sight(7, 2)), [name("a")]);
    assert_eq!(names.unproven(&name("a"), &sight(7, 1)), []);
}

/// A name that an earlier directory uses for another namespace is ambiguous, as is `host`,
/// whatever the order of arrival.
#[test]
fn a_repeated_name_is_ambiguous() {
    let in_second = |text: &str| (1, NetnsName::new(text));
    let mut names = Names::new(HOST);
    let mut changes = Vec::new();
    names.see(in_second("a"), Some(sight(8, 1)), &mut changes);
    assert!(!names.is_ambiguous(NetnsId(1)));
    names.see(name("a"), Some(sight(7, 1)), &mut changes);
    assert!(names.is_ambiguous(NetnsId(1)) && !names.is_ambiguous(NetnsId(2)));
    names.forget(&name("a"), &mut changes);
    assert!(!names.is_ambiguous(NetnsId(1)));
    let renamed = || Change::Renamed(NetnsId(1), in_second("a"));
    assert_eq!(changes[2..], [renamed(), Change::Closed(NetnsId(2)), renamed()]);
    see(&mut names, "host", Some(9));
    assert!(names.is_ambiguous(NetnsId(3)));
    names.see(in_second("b"), Some(sight(7, 1)), &mut changes);
    see(&mut names, "b", Some(7));
    assert!(!names.is_ambiguous(NetnsId(4)), "one namespace under one name in two directories");
}

proptest! {
    #[test]
    fn open_namespaces_are_the_named_ones(
        sights in proptest::collection::vec((0..6_u8, proptest::option::of(0..5_u64)), 0..200)
    ) {
        let mut names = Names::new(HOST);
        let mut truth: BTreeMap<u8, u64> = BTreeMap::new();
        let mut open: BTreeMap<NetnsId, Name> = BTreeMap::new();
        for (which, inode) in sights {
            for change in see(&mut names, &which.to_string(), inode) {
                match change {
                    Change::Opened(id, name) => prop_assert!(open.insert(id, name).is_none()),
                    Change::Renamed(id, name) => prop_assert!(open.insert(id, name).is_some()),
                    Change::Closed(id) => prop_assert!(open.remove(&id).is_some()),
                }
            }
            match inode {
                Some(inode) => _ = truth.insert(which, inode),
                None => _ = truth.remove(&which),
            }
            let named: BTreeSet<u64> = truth.values().copied().filter(|inode| *inode != HOST.file.inode).collect();
            prop_assert_eq!(open.keys().filter_map(|id| names.file(*id)).map(|file| file.inode).collect::<BTreeSet<_>>(), named);
            for (id, (_, name)) in &open {
                let which: u8 = name.to_string().parse().unwrap();
                prop_assert_eq!(truth.get(&which).copied(), names.file(*id).map(|file| file.inode));
            }
        }
    }
}
