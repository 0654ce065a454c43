use std::fmt;
use std::str::FromStr;

/// Longest link-layer address of any device: InfiniBand's (`INFINIBAND_ALEN`, `linux/if_infiniband.h`).
///
/// The kernel has room for 32 bytes (`MAX_ADDR_LEN`), which nothing in it uses; twelve bytes more for each
/// interface are not worth that.
const MAX_LEN: usize = 20;

/// A link-layer address of 1 to 20 bytes.
///
/// Six bytes on Ethernet, twenty on InfiniBand, four where an IP tunnel shows its
/// local end (`sit`, `ipip`). It is kept whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddr {
    // `bytes` comes first so that addresses sort as their bytes do; those past `len` are zero.
    bytes: [u8; MAX_LEN],
    len: u8,
}

impl MacAddr {
    /// The address with these bytes; `None` when there are none or more than 20.
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

    /// The first six bytes, zeroes where there are fewer, in the low bits of a word.
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

/// Lower-case hex pairs with colons, as `ip link` prints them.
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
    fn what_is_no_address_is_refused_by_name() {
        for text in ["", "0a:5", "0a:58:zz", "+a:58", "0a::58", &"00:".repeat(21)] {
            let error = text.parse::<MacAddr>().unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
        assert_eq!(MacAddr::new(&[]), None);
    }

    #[test]
    fn a_shorter_address_is_not_its_zero_padded_twin() {
        assert_ne!(MacAddr::new(&[1]), MacAddr::new(&[1, 0]));
    }
}
