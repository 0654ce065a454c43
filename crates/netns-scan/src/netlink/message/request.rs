//! Requests to the kernel.

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::stats::{StatsFilterMask, StatsMessage};

use crate::netlink::missing::ANY_NSID;

/// A serialized request without a sequence number.
#[derive(Clone, Debug)]
pub struct Request(Vec<u8>);

impl Request {
    fn new(flags: u16, message: RouteNetlinkMessage) -> Self {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        Self(bytes)
    }

    /// Dumps the links, with counters, of the namespace with this nsid or of the socket's own.
    #[must_use]
    pub fn list_links(nsid: Option<i32>) -> Self {
        // An IFLA_EXT_MASK could leave the counters out of the reply, but makes the kernel compute
        // the message size of every link of the socket's own namespace first, for each dump.
        let mut message = LinkMessage::default();
        message.attributes.extend(nsid.map(LinkAttribute::IfNetnsId));
        Self::new(NLM_F_DUMP, RouteNetlinkMessage::GetLink(message))
    }

    /// Requests one link of the namespace with this nsid or of the socket's own.
    #[must_use]
    pub fn get_link(nsid: Option<i32>, ifindex: u32) -> Self {
        let mut message = LinkMessage::default();
        message.header.index = ifindex;
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        message.attributes.extend(nsid.map(LinkAttribute::IfNetnsId));
        Self::new(NLM_F_ACK, RouteNetlinkMessage::GetLink(message))
    }

    /// Dumps the addresses of the namespace with this nsid or of the socket's own.
    #[must_use]
    pub fn list_addresses(nsid: Option<i32>) -> Self {
        let mut message = AddressMessage::default();
        message.attributes.extend(nsid.map(AddressAttribute::TargetNetNsId));
        Self::new(NLM_F_DUMP, RouteNetlinkMessage::GetAddress(message))
    }

    /// Dumps the counters of the socket's own namespace.
    #[must_use]
    pub fn list_stats() -> Self {
        let mut message = StatsMessage::default();
        message.header.filter_mask = StatsFilterMask::Link64;
        Self::new(NLM_F_DUMP, RouteNetlinkMessage::GetStats(message))
    }

    /// Requests the counters of one link of the socket's own namespace.
    #[must_use]
    pub fn get_stats(ifindex: u32) -> Self {
        let mut message = StatsMessage::default();
        message.header.ifindex = ifindex;
        message.header.filter_mask = StatsFilterMask::Link64;
        Self::new(NLM_F_ACK, RouteNetlinkMessage::GetStats(message))
    }

    /// Requests the nsid of the namespace behind a file descriptor.
    #[must_use]
    pub fn get_nsid_of_fd(fd: i32) -> Self {
        Self::new(NLM_F_ACK, RouteNetlinkMessage::GetNsId(nsid_message([NsidAttribute::Fd(fd as u32)])))
    }

    /// Dumps the nsids in the socket's own namespace.
    #[must_use]
    pub fn list_nsids() -> Self {
        Self::new(NLM_F_DUMP, RouteNetlinkMessage::GetNsId(nsid_message([])))
    }

    /// Assigns any free nsid to the namespace behind a file descriptor.
    #[must_use]
    pub fn assign_nsid(fd: i32) -> Self {
        let attributes = [NsidAttribute::Fd(fd as u32), NsidAttribute::Id(ANY_NSID)];
        Self::new(NLM_F_ACK, RouteNetlinkMessage::NewNsId(nsid_message(attributes)))
    }

    /// An assignment without a namespace: the kernel checks the privilege before the attributes.
    #[must_use]
    pub fn probe_assign() -> Self {
        Self::new(NLM_F_ACK, RouteNetlinkMessage::NewNsId(nsid_message([])))
    }

    /// The bytes to send, with this sequence number.
    pub fn bytes(&mut self, seq: u32) -> &[u8] {
        NetlinkBuffer::new(&mut self.0).set_sequence_number(seq);
        &self.0
    }
}

fn nsid_message<const N: usize>(attributes: [NsidAttribute; N]) -> NsidMessage {
    let mut message = NsidMessage::default();
    message.attributes.extend(attributes);
    message
}
