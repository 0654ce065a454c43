//! Containers beside pods.

use super::*;
use crate::interface::Runtime;
use crate::owner::container::record::{Claim, Link, Record};
use crate::owner::container::user_netns::UserNetns;

/// A name of the kind that Docker draws for each sandbox.
const SANDBOX: &str = "0a1b2c3d4e5f";

fn container(name: &str, claim: Claim) -> Record {
    let networks = vec![([2, 0, 0, 0, 0, 1].into(), "front".into())];
    Record { runtime: Runtime::Docker, name: name.into(), id: format!("id-{name}"), image: None, claim, networks }
}

pub(super) fn named(name: &str, netns: &str) -> Input {
    Input::Container(name.to_owned(), container(name, Claim::Name(NetnsName::new(netns))))
}

fn owner(reader: &Reader, interface: &Interface) -> Option<(String, Vec<String>, End, Option<String>)> {
    let owner = reader.0[&interface.id].owner.as_ref()?;
    let ids = owner.container().map(|container| container.ids.clone()).unwrap_or_default();
    Some((owner.to_string(), ids, owner.end(), owner.network().map(|network| network.to_string())))
}

fn owned(name: &str, ids: &[&str], end: End) -> Option<(String, Vec<String>, End, Option<String>)> {
    Some((name.to_owned(), ids.iter().map(|id| (*id).to_owned()).collect(), end, Some("front".to_owned())))
}

fn pair(netns: &Arc<Netns>) -> (Arc<Interface>, Arc<Interface>) {
    let eth0 = interface(10, netns, "eth0", 1, "172.17.0.2/16");
    let mut end = interface(11, &host(), "veth1", 100, "");
    Arc::make_mut(&mut end).peer = Some(Peer::new(netns.clone(), eth0.ifindex, eth0.name).into());
    (eth0, end)
}

#[test]
fn both_ends_belong_to_the_container() {
    let (eth0, end) = pair(&netns(1, SANDBOX));
    for inputs in permutations(&[named("web", SANDBOX), added(&eth0), added(&end), synced()]) {
        let (_, reader) = after(inputs);
        assert_eq!(owner(&reader, &eth0), owned("docker/web", &["id-web"], End::Pod));
        assert_eq!(owner(&reader, &end), owned("docker/web", &["id-web"], End::Host));
    }
}

/// systemd-nspawn's records name the host's ends.
#[test]
fn host_end_names_the_container() {
    let (eth0, end) = pair(&netns(1, "blue"));
    let record = Input::Container("web".into(), container("web", Claim::HostEnds(vec![11])));
    for inputs in permutations(&[record, added(&eth0), added(&end), synced()]) {
        let (_, reader) = after(inputs);
        for (interface, at) in [(&eth0, End::Pod), (&end, End::Host)] {
            assert_eq!(owner(&reader, interface), owned("docker/web", &["id-web"], at));
        }
    }
}

/// LXC's configurations name the address inside, or the host's end.
#[test]
fn link_names_the_container() {
    let (eth0, end) = pair(&netns(1, "blue"));
    let mac = Link::Mac(eth0.mac.unwrap());
    for link in [mac, Link::End(end.name)] {
        let record = Input::Container("web".into(), container("web", Claim::Links(vec![link])));
        for inputs in permutations(&[record, added(&eth0), added(&end), synced()]) {
            let (mut tagger, mut reader) = after(inputs);
            for (interface, at) in [(&eth0, End::Pod), (&end, End::Host)] {
                assert_eq!(owner(&reader, interface), owned("docker/web", &["id-web"], at));
            }
            give(&mut tagger, Input::ContainerGone("web".into()));
            reader.read(&mut tagger);
            assert_eq!((owner(&reader, &eth0), owner(&reader, &end)), (None, None));
        }
    }
}

/// nerdctl's process shows the namespace until the namespace ends; the kernel gives its inode to another.
#[test]
fn process_names_the_container() {
    let file = NsFile { dev: 4, inode: 7 };
    let space = |number| Arc::new(Netns::new(NetnsId(number), Place::Inode(7)).with_file(file));
    let (eth0, end) = pair(&space(1));
    let record = Input::Container("web".into(), container("web", Claim::Space(file)));
    for inputs in permutations(&[record, added(&eth0), added(&end), synced()]) {
        let (mut tagger, mut reader) = after(inputs);
        for (interface, at) in [(&eth0, End::Pod), (&end, End::Host)] {
            assert_eq!(owner(&reader, interface), owned("docker/web", &["id-web"], at));
        }
        let next = interface(20, &space(2), "eth0", 9, "");
        for input in [deleted(&eth0), deleted(&end), added(&next)] {
            give(&mut tagger, input);
            reader.read(&mut tagger);
        }
        assert_eq!(owner(&reader, &next), None);
    }
}

/// A claim of a user is proven again for each namespace with the inode, so the end of one takes nothing away; other claims
/// to the namespace end.
#[test]
fn claims_of_users_outlast_namespaces() {
    let file = NsFile { dev: 4, inode: 7 };
    let space = |number| Arc::new(Netns::new(NetnsId(number), Place::Inode(7)).with_file(file));
    let (first, next) = (interface(10, &space(1), "eth0", 1, ""), interface(20, &space(2), "eth0", 9, ""));
    let users = Input::Container("web".into(), container("web", Claim::UserNetns(UserNetns::fake(file))));
    let others = Input::Container("db".into(), container("db", Claim::Space(file)));
    for inputs in permutations(&[users, others, added(&first), synced()]) {
        let (mut tagger, mut reader) = after(inputs);
        assert_eq!(owner(&reader, &first).unwrap().1, ["id-db", "id-web"]);
        for input in [deleted(&first), added(&next)] {
            assert_eq!(tagger.users_at(&next).len(), 1);
            give(&mut tagger, input);
            reader.read(&mut tagger);
        }
        assert_eq!((owner(&reader, &next).unwrap().1, tagger.users_at(&next).len()), (vec!["id-web".to_owned()], 0));
    }
}

/// Two namespaces with the address, two containers with it, or links of two containers: nobody's.
#[test]
fn ambiguous_links_name_no_container() {
    let (eth0, _) = pair(&netns(1, "blue"));
    let (mac, other_mac) = (Link::Mac(eth0.mac.unwrap()), Link::Mac([2, 0, 0, 0, 0, 9].into()));
    let claim =
        |name: &str, link: &Link| Input::Container(name.into(), container(name, Claim::Links(vec![link.clone()])));
    let copy = interface(20, &netns(2, "green"), "eth0", 1, "");
    for inputs in permutations(&[claim("web", &mac), added(&eth0), added(&copy), synced()]) {
        let (mut tagger, mut reader) = after(inputs);
        assert_eq!((owner(&reader, &eth0), owner(&reader, &copy)), (None, None));
        give(&mut tagger, deleted(&copy));
        reader.read(&mut tagger);
        assert!(owner(&reader, &eth0).is_some(), "the address is the namespace's alone");
    }
    for inputs in permutations(&[claim("web", &mac), claim("db", &mac), added(&eth0), synced()]) {
        assert_eq!(owner(&after(inputs).1, &eth0), None);
    }
    let second = interface(21, &eth0.netns, "eth1", 9, "");
    for inputs in permutations(&[claim("web", &mac), claim("db", &other_mac), added(&eth0), added(&second)]) {
        let (_, reader) = after(inputs);
        assert_eq!((owner(&reader, &eth0), owner(&reader, &second)), (None, None));
    }
}

#[test]
fn sharing_containers_are_one_owner() {
    let (eth0, _) = pair(&netns(1, SANDBOX));
    for inputs in permutations(&[named("b", SANDBOX), named("a", SANDBOX), added(&eth0), synced()]) {
        let (mut tagger, reader) = after(inputs);
        let ids = owner(&reader, &eth0).map(|(name, ids, ..)| (name, ids));
        assert_eq!(ids, Some(("docker/a".into(), vec!["id-a".into(), "id-b".into()])));
        tagger.container_gone(Path::new("a"));
        assert!(
            tagger.events().all(|event| event.interface().unwrap().owner.as_ref().unwrap().to_string() == "docker/b")
        );
    }
}

/// A restart gives the container another namespace, a stop none.
#[test]
fn container_leaves_its_sandbox() {
    let (old, new) =
        (interface(1, &netns(1, SANDBOX), "eth0", 1, ""), interface(2, &netns(2, "f5e4d3c2b1a0"), "eth0", 1, ""));
    let mut inputs = vec![added(&old), synced(), named("web", SANDBOX), added(&new), named("web", "f5e4d3c2b1a0")];
    let (_, reader) = after(inputs.clone());
    assert_eq!((owner(&reader, &old), owner(&reader, &new).unwrap().0), (None, "docker/web".into()));
    inputs.push(Input::ContainerGone("web".into()));
    let (tagger, reader) = after(inputs);
    assert_eq!((owner(&reader, &new), tagger.untagged()), (None, 2));
}

#[test]
fn pod_wins_over_container() {
    let (eth0, end) = pair(&netns(1, RANDOM));
    let by_file = Input::File("file", file(RANDOM, &pod("web", Some("u1")), 1, "podnet"));
    let by_address = applied(record("web", "u1", "172.17.0.2"));
    for proof in [by_file, by_address] {
        for inputs in permutations(&[named("web", RANDOM), proof, added(&eth0), added(&end), synced()]) {
            let (_, reader) = after(inputs);
            for interface in [&eth0, &end] {
                assert_eq!(owner(&reader, interface).unwrap().0, "shop/web");
            }
        }
    }
}
