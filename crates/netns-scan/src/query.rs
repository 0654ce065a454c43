use std::io;
use std::net::IpAddr;
use std::path::Path;

use iface_core::IfName;

use crate::Error;
use crate::discovery::nsfs::{Found, look};
use crate::engine::netns_thread::Enter;
use crate::netlink::dump::{Change, Listed, Listing};
use crate::netlink::message::{Body, Request};
use crate::netlink::socket::{BUFFER_LEN, Groups, NoAnswer, RouteSocket, Said};

/// The addresses of an interface.
///
/// `netns` is the path of the namespace it is in; `None` means the calling thread's own. Entering
/// another needs CAP_SYS_ADMIN. Blocks for some tens of microseconds.
///
/// # Errors
///
/// When the namespace cannot be entered or listed, or has no such interface.
pub fn ips_from_interface(netns: Option<&Path>, name: &IfName) -> Result<Vec<IpAddr>, Error> {
    let socket = match netns {
        None => RouteSocket::open(Groups::NONE),
        Some(path) => open_inside(path),
    };
    let mut socket = socket.map_err(|source| match netns {
        Some(path) => Error::Enter { path: path.to_owned(), source },
        None => Error::List { what: "addresses of the own namespace", source },
    })?;
    let list = || -> io::Result<Vec<Listed>> {
        let mut buffer = vec![0; BUFFER_LEN];
        let mut listing = Listing::default();
        for request in [Request::list_links(None), Request::list_addresses(None)] {
            let mut take = |said: Said<'_>| {
                if let Said::Answer(body) = said {
                    Change::of(body).into_iter().flatten().for_each(|change| listing.listed(change));
                }
            };
            match socket.ask(request, &mut buffer, &mut take) {
                // Of an interrupted dump only what changed may be missing, and that is nobody's loss.
                Ok(()) | Err(NoAnswer::Interrupted) => {}
                Err(NoAnswer::Failed(error)) => return Err(error),
            }
        }
        Ok(listing.finish())
    };
    let mut list = list;
    let listed = list().map_err(|source| Error::List { what: "links and addresses", source })?;
    let of_name = listed.iter().find(|listed| listed.link.name == *name);
    let addresses = &of_name.ok_or(Error::NoInterface { name: *name })?.addresses;
    Ok(addresses.iter().map(ipnet::IpNet::addr).collect())
}

/// The name of the interface with this number in the calling thread's namespace, asked of the
/// kernel; `None` where there is none.
///
/// # Errors
///
/// When the kernel cannot be asked.
pub fn name_for_index(ifindex: u32) -> Result<Option<IfName>, Error> {
    let ask = || -> Result<Option<IfName>, NoAnswer> {
        let mut name = None;
        RouteSocket::open(Groups::NONE).map_err(NoAnswer::Failed)?.ask(
            Request::get_link(None, ifindex),
            &mut vec![0; BUFFER_LEN],
            |said| {
                if let Said::Answer(Body::NewLink(message)) = said {
                    name = message.link().ok().flatten().map(|link| link.name);
                }
            },
        )?;
        Ok(name)
    };
    match ask() {
        Ok(name) => Ok(name),
        Err(NoAnswer::Failed(error)) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(Error::List { what: "the own namespace's links", source: error.into() }),
    }
}

fn open_inside(path: &Path) -> io::Result<RouteSocket> {
    let Found::Namespace(file) = look(path)? else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a network namespace"));
    };
    Enter::new(|| RouteSocket::open(Groups::NONE)).run(vec![(path.to_owned(), file)])?.next()
}
