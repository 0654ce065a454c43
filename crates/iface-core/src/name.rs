//! Names of interfaces, as bytes.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest interface name in bytes (`IFNAMSIZ` - 1, `linux/if.h`).
const IFNAME_MAX: usize = 15;

/// Name of an interface: up to 15 bytes, stored inline, not necessarily UTF-8.
///
/// The kernel refuses only `/`, `:`, white space, `.` and `..` in a name, so a name can contain
/// quotes, control characters and bytes that are not UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct IfName {
    bytes: [u8; IFNAME_MAX],
    len: u8,
}

impl IfName {
    /// The empty name.
    pub(crate) const EMPTY: Self = Self { bytes: [0; IFNAME_MAX], len: 0 };

    /// The name with these bytes; `None` when longer than 15.
    #[must_use]
    pub fn new(name: impl AsRef<[u8]>) -> Option<Self> {
        let name = name.as_ref();
        let mut bytes = [0; IFNAME_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self { bytes, len: name.len() as u8 })
    }

    /// The bytes of the kernel.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The name in two words, for memory shared between threads.
    pub(crate) fn to_words(self) -> [u64; 2] {
        let Self { bytes: [a, b, c, d, e, f, g, h, rest @ ..], len } = self;
        let [i, j, k, l, m, n, o] = rest;
        [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, len]].map(u64::from_le_bytes)
    }

    /// The name from the words of [`to_words`](Self::to_words).
    #[inline(always)]
    pub(crate) fn from_words(words: [u64; 2]) -> Self {
        let [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, len]] = words.map(u64::to_le_bytes);
        Self { bytes: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o], len }
    }

    /// The name as text; `None` if the name is not UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()).ok()
    }
}

/// Compares with text byte by byte.
impl PartialEq<str> for IfName {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for IfName {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl AsRef<[u8]> for IfName {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Error of a text that is too long for the name of an interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is too long for the name of an interface: the kernel allows 15 bytes")]
pub struct ParseIfNameError(String);

impl FromStr for IfName {
    type Err = ParseIfNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name).ok_or_else(|| ParseIfNameError(name.to_owned()))
    }
}

/// Bytes that are not UTF-8, control characters and backslashes become `\xNN`, so that different names have
/// different texts.
impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(self.as_bytes(), f)
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Name of a network namespace: the name of a file below `/var/run/netns`.
///
/// Names are reused; [`NetnsId`](crate::NetnsId) is the identity.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetnsName(Arc<[u8]>);

impl NetnsName {
    /// The name with these bytes.
    #[must_use]
    pub fn new(name: impl AsRef<[u8]>) -> Self {
        Self(name.as_ref().into())
    }

    /// The bytes in the directory.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Compares with text byte by byte.
impl PartialEq<str> for NetnsName {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl AsRef<[u8]> for NetnsName {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl FromStr for NetnsName {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(name))
    }
}

/// Bytes that are not UTF-8, control characters and backslashes become `\xNN`, so that different names have
/// different texts.
impl fmt::Display for NetnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(&self.0, f)
    }
}

impl fmt::Debug for NetnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Writes a name such that different names have different texts, and the text around a name keeps its order:
/// bytes that are not UTF-8, control characters, characters that reorder text, and backslashes become `\xNN` for
/// each byte.
fn write_escaped(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // `pad` keeps width and alignment for ordinary names.
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.chars().all(is_plain)
    {
        return f.pad(text);
    }
    let mut utf8 = [0; 4];
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_plain(c) {
                fmt::Write::write_char(f, c)?;
            } else {
                write_bytes(c.encode_utf8(&mut utf8).as_bytes(), f)?;
            }
        }
        write_bytes(chunk.invalid(), f)?;
    }
    Ok(())
}

fn write_bytes(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

fn is_plain(c: char) -> bool {
    // Marks, embeddings, overrides and isolates of the Unicode bidirectional algorithm (UAX #9), zero-width
    // characters, line and paragraph separators.
    let reorders_or_hides = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c != '\\' && !c.is_control() && !reorders_or_hides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_stay_apart() {
        let [a, b] = [b"eth\xff", b"eth\xfe"].map(|n| IfName::new(n).unwrap());
        assert_ne!(a.to_string(), b.to_string());
        assert_eq!(a.to_string(), r"eth\xff");
        assert_eq!(IfName::new("eth0").unwrap(), "eth0");
        assert_eq!(NetnsName::new(b"blue\xc3").to_string(), r"blue\xc3");
    }

    #[test]
    fn texts_of_different_names_differ() {
        let names: [&[u8]; 5] = [b"bad\xff", br"bad\xff", br"bad\\xff", b"bad\x1b[31m", "bad\u{202e}".as_bytes()];
        let written = names.map(|name| NetnsName::new(name).to_string());
        let expected = [r"bad\xff", r"bad\x5cxff", r"bad\x5c\x5cxff", r"bad\x1b[31m", r"bad\xe2\x80\xae"];
        assert_eq!(written, expected);
        assert_eq!(NetnsName::new("größe").to_string(), "größe");
    }

    #[test]
    fn long_name_is_refused() {
        assert_eq!("eth0".parse(), Ok(IfName::new("eth0").unwrap()));
        assert!("sixteen-bytes-xy".parse::<IfName>().is_err());
        assert!(IfName::new("fifteen-bytes-x").is_some());
        assert!(IfName::new("sixteen-bytes-xy").is_none());
    }
}
