use std::fmt;
use std::sync::Arc;

/// Longest interface name in bytes (`IFNAMSIZ` - 1, `linux/if.h`).
const IFNAME_MAX: usize = 15;

/// An interface's name: up to 15 bytes, held in place, not necessarily UTF-8.
///
/// The kernel refuses only `/`, `:`, white space, `.` and `..` in a name, so it can hold
/// quotes, control characters and bytes that are no text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct IfName {
    bytes: [u8; IFNAME_MAX],
    len: u8,
}

impl IfName {
    /// No name at all.
    pub(crate) const EMPTY: Self = Self { bytes: [0; IFNAME_MAX], len: 0 };

    /// The name with these bytes; `None` when longer than 15.
    #[must_use]
    pub fn new(name: impl AsRef<[u8]>) -> Option<Self> {
        let name = name.as_ref();
        let mut bytes = [0; IFNAME_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self { bytes, len: name.len() as u8 })
    }

    /// The bytes as the kernel gave them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// All of it in two words, for places that threads share.
    pub(crate) fn to_words(self) -> [u64; 2] {
        let Self { bytes: [a, b, c, d, e, f, g, h, rest @ ..], len } = self;
        let [i, j, k, l, m, n, o] = rest;
        [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, len]].map(u64::from_le_bytes)
    }

    /// The name that became these words.
    #[inline(always)]
    pub(crate) fn from_words(words: [u64; 2]) -> Self {
        let [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, len]] = words.map(u64::to_le_bytes);
        Self { bytes: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o], len }
    }

    /// The name when it is UTF-8, as nearly all are.
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

/// Bytes that are not UTF-8, control characters and backslashes are written `\xNN`, so that no two names are
/// written the same.
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

/// The name of a network namespace: its file's name below `/var/run/netns`.
///
/// Names come and go and are reused; [`NetnsId`](crate::NetnsId) is the identity.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetnsName(Arc<[u8]>);

impl NetnsName {
    /// The name with these bytes.
    #[must_use]
    pub fn new(name: impl AsRef<[u8]>) -> Self {
        Self(name.as_ref().into())
    }

    /// The bytes as the directory listed them.
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

/// Bytes that are not UTF-8, control characters and backslashes are written `\xNN`, so that no two names are
/// written the same.
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

/// Writes a name so that different names are written differently, and none changes how text around it
/// is shown: bytes that are not UTF-8, control characters, characters that reorder text, and the backslash
/// itself become `\xNN` for each byte.
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
    fn names_are_bytes_and_odd_ones_stay_apart() {
        let [a, b] = [b"eth\xff", b"eth\xfe"].map(|n| IfName::new(n).unwrap());
        assert_ne!(a.to_string(), b.to_string());
        assert_eq!(a.to_string(), r"eth\xff");
        assert_eq!(IfName::new("eth0").unwrap(), "eth0");
        assert_eq!(NetnsName::new(b"blue\xc3").to_string(), r"blue\xc3");
    }

    #[test]
    fn written_names_differ_where_names_do() {
        let names: [&[u8]; 5] = [b"bad\xff", br"bad\xff", br"bad\\xff", b"bad\x1b[31m", "bad\u{202e}".as_bytes()];
        let written = names.map(|name| NetnsName::new(name).to_string());
        let expected = [r"bad\xff", r"bad\x5cxff", r"bad\x5c\x5cxff", r"bad\x1b[31m", r"bad\xe2\x80\xae"];
        assert_eq!(written, expected);
        assert_eq!(NetnsName::new("größe").to_string(), "größe");
    }

    #[test]
    fn a_name_too_long_for_the_kernel_is_none() {
        assert!(IfName::new("fifteen-bytes-x").is_some());
        assert!(IfName::new("sixteen-bytes-xy").is_none());
    }
}
