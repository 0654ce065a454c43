//! Link-layer addresses of 1 to 20 bytes.

use std::fmt;
use std::str::FromStr;

/// Longest link-layer address of any device: InfiniBand's (`INFINIBAND_ALEN`, `linux/if_infiniband.h`).
///
/// The kernel allows 32 bytes (`MAX_ADDR_LEN`), but no driver uses more than 20; twelve more bytes per
/// interface would be wasted.
const MAX_LEN: usize = 20;

/// A link-layer address of 1 to 20 bytes.
///
/// Six bytes on Ethernet, twenty on InfiniBand, four where an IP tunnel shows its
/// local end (`sit`, `ipip`). Always stored whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddr {
    // `bytes` comes first so that addresses sort by bytes; bytes past `len` are zero.
    bytes: [u8; MAX_LEN],
    len: u8,
}

impl MacAddr {
    /// The address with these bytes; `None` for no bytes or more than 20.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > MAX_LEN {
            return None;
        }
        let mut whole = [0; MAX_LEN];
        whole[..bytes.len()].copy_from_slice(bytes);
        Some(Self { bytes: whole, len: bytes.len() as u8 })
    }

    /// The bytes in transmission order.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The first six bytes, padded with zeroes, in the low bits of a word.
    #[inline(always)]
    pub(crate) fn first_six(&self) -> u64 {
        let [a, b, c, d, e, f, ..] = self.bytes;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(ethernet: [u8; 6]) -> Self {
        let mut bytes = [0; MAX_LEN];
        bytes[..6].copy_from_slice(&ethernet);
        Self { bytes, len: 6 }
    }
}

/// Lower-case hex pairs with colons, as in `ip link`.
impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.as_bytes().iter().enumerate() {
            let colon = if n == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a link-layer address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no link-layer address: write 1 to 20 bytes as hex pairs with colons, like 0a:58:0a:f4:00:05")]
pub struct ParseMacError(String);

/// Reads hex pairs separated by `:` or `-`, in either case.
impl FromStr for MacAddr {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let pair = |part: &str| match part.as_bytes() {
            [a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => u8::from_str_radix(part, 16).ok(),
            _ => None,
        };
        text.split([':', '-'])
            .map(pair)
            .collect::<Option<Vec<u8>>>()
            .and_then(|bytes| Self::new(&bytes))
            .ok_or_else(|| ParseMacError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ethernet_and_infiniband_addresses_are_kept_whole() {
        let ethernet: MacAddr = "0A:58:0a:f4:00:05".parse().unwrap();
        assert_eq!(ethernet, MacAddr::from([0x0a, 0x58, 0x0a, 0xf4, 0, 5]));
        assert_eq!(ethernet.to_string(), "0a:58:0a:f4:00:05");
        let infiniband: Vec<u8> = (0..20).collect();
        assert_eq!(MacAddr::new(&infiniband).unwrap().as_bytes(), infiniband);
    }

    #[test]
    fn invalid_address_is_refused() {
        for text in ["", "0a:5", "0a:58:zz", "+a:58", "0a::58", &"00:".repeat(21)] {
            let error = text.parse::<MacAddr>().unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
        assert_eq!(MacAddr::new(&[]), None);
    }

    #[test]
    fn zero_padding_changes_an_address() {
        assert_ne!(MacAddr::new(&[1]), MacAddr::new(&[1, 0]));
    }
}
