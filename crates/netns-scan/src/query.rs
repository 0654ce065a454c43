//! Single lookups without a [`Watcher`](crate::Watcher): the addresses and the name of an interface.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use iface_core::IfName;

use crate::Error;
use crate::discovery::nsfs::{Found, look};
use crate::engine::netns_thread::NetnsThread;
use crate::netlink::dump::{Change, Dump, DumpedLink};
use crate::netlink::message::{Body, Request};
use crate::netlink::socket::{BUFFER_LEN, Groups, Incoming, RequestError, Route, RouteSocket};

/// Attempts of a dump that concurrent changes interrupt.
const ATTEMPTS: usize = 64;

/// The addresses of an interface.
///
/// `netns` is the path of the interface's namespace; `None` means the calling thread's own. Entering
/// another namespace needs `CAP_SYS_ADMIN`. Blocks for some tens of microseconds.
///
/// # Errors
///
/// When the namespace cannot be entered or dumped, or has no such interface. A dump that changes
/// interrupt is repeated; after 64 interrupted dumps the error has the source
/// [`io::ErrorKind::Interrupted`], and never does the answer lack an address that was there throughout.
pub fn ips_from_interface(netns: Option<&Path>, name: &IfName) -> Result<Vec<IpAddr>, Error> {
    let socket = match netns {
        None => RouteSocket::open(Groups::NONE),
        Some(path) => open_inside(path),
    };
    let mut socket = socket.map_err(|source| match netns {
        Some(path) => Error::Enter { path: path.to_owned(), source },
        None => Error::List { what: "addresses of the own namespace", source },
    })?;
    let links = repeat(|| dump(&mut socket));
    let links = links.map_err(|error| Error::List { what: "links and addresses", source: error.into() })?;
    let link = links.iter().find(|dumped| dumped.link.name == *name);
    let addresses = &link.ok_or(Error::NoInterface { name: *name })?.addresses;
    // One address with several peers is sorted together.
    let mut ips: Vec<IpAddr> = addresses.iter().map(|address| address.net.addr()).collect();
    ips.dedup();
    Ok(ips)
}

/// Repeats an attempt while its reply is incomplete.
fn repeat<T>(mut attempt: impl FnMut() -> Result<T, RequestError>) -> Result<T, RequestError> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(RequestError::Incomplete(_)) => std::thread::yield_now(),
            result => return result,
        }
    }
    attempt()
}

/// One attempt to dump the links and addresses of the socket's namespace.
fn dump(socket: &mut RouteSocket) -> Result<Vec<DumpedLink>, RequestError> {
    let mut buffer = vec![0; BUFFER_LEN];
    let mut dump = Dump::default();
    for request in [Request::list_links(None), Request::list_addresses(None)] {
        let mut malformed = None;
        socket.ask(request, &mut buffer, |incoming| {
            let Incoming::Reply(body) = incoming else { return };
            match Change::of(body) {
                Ok(change) => change.into_iter().for_each(|change| dump.dumped(change)),
                Err(error) => malformed = Some(error),
            }
        })?;
        if let Some(error) = malformed {
            return Err(RequestError::Failed(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
    }
    Ok(dump.finish())
}

/// Looks up the name of an interface by index in the calling thread's namespace; `None` when no
/// interface has the index. Asks the kernel on each call.
///
/// # Errors
///
/// When no netlink socket can be opened or the kernel refuses the request.
pub fn name_for_index(ifindex: u32) -> Result<Option<IfName>, Error> {
    let request = || -> Result<Option<IfName>, RequestError> {
        let mut name = None;
        RouteSocket::open(Groups::NONE).map_err(RequestError::Failed)?.ask(
            Request::get_link(None, ifindex),
            &mut vec![0; BUFFER_LEN],
            |incoming| {
                if let Incoming::Reply(Body::NewLink(message)) = incoming {
                    name = message.link().ok().flatten().map(|link| link.name);
                }
            },
        )?;
        Ok(name)
    };
    match request() {
        Ok(name) => Ok(name),
        Err(RequestError::Failed(error)) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(Error::List { what: "the own namespace's links", source: error.into() }),
    }
}

fn open_inside(path: &Path) -> io::Result<RouteSocket> {
    let Found::Namespace(sight) = look(path, None)? else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a network namespace"));
    };
    NetnsThread::new(|| RouteSocket::open(Groups::NONE)).run(vec![(path.to_owned(), sight.file)])?.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::socket::Incomplete;

    fn interrupted() -> RequestError {
        RequestError::Incomplete(Incomplete::Changed)
    }

    #[test]
    fn interrupted_dump_is_repeated() {
        let mut attempts = 0;
        let result = repeat(|| {
            attempts += 1;
            if attempts < 4 { Err(interrupted()) } else { Ok(attempts) }
        });
        assert_eq!(result.unwrap(), 4);
    }

    #[test]
    fn endless_interruption_is_an_error() {
        let mut attempts = 0;
        let result: Result<(), RequestError> = repeat(|| {
            attempts += 1;
            Err(interrupted())
        });
        assert_eq!(attempts, ATTEMPTS);
        let error = io::Error::from(result.unwrap_err());
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
