//! Preferred names by prefix of a MAC address, and the text form of these rules.

use std::fmt;
use std::str::FromStr;

use crate::{IfName, MacAddr};

/// Most bytes of a prefix: a whole Ethernet address.
const MAX_PREFIX: usize = 6;

/// Preferred interface names by prefix of a MAC address, for addresses without an exact match.
///
/// Written `0a:58=eth0,0b59=if2`: pairs of a prefix in hexadecimal, with or without colons, and
/// the preferred name for MAC addresses with the prefix. The first match wins.
///
/// ```
/// use iface_core::Preferred;
///
/// let preferred: Preferred = "0a:58=eth0,0b59=if2,0c:60:80:=if3".parse()?;
/// assert_eq!(preferred.to_string(), "0a:58=eth0,0b:59=if2,0c:60:80=if3");
/// # Ok::<(), iface_core::PreferredError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferred(Box<[Rule]>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    prefix: Box<[u8]>,
    name: IfName,
}

impl Preferred {
    /// Whether a rule prefers this name.
    pub(crate) fn prefers(&self, name: &IfName) -> bool {
        self.0.iter().any(|rule| rule.name == *name)
    }

    /// The names preferred for this MAC address, best first.
    pub(crate) fn names_for(&self, mac: &MacAddr) -> impl Iterator<Item = &IfName> {
        self.0.iter().filter(|rule| mac.as_bytes().starts_with(&rule.prefix)).map(|rule| &rule.name)
    }
}

/// A fault of a list of preferred interfaces, with the entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PreferredError {
    /// The entry is not a pair, or the name is not valid for an interface.
    #[error("preferred interface {entry:?} is no pair: write a MAC prefix and a name, like 0a:58=eth0")]
    BadFormat {
        /// The entry.
        entry: String,
    },
    /// The prefix is not made of hexadecimal pairs.
    #[error("preferred interface {entry:?}: the MAC prefix is not in hexadecimal pairs, like 0a:58 or 0a58")]
    BadHex {
        /// The entry.
        entry: String,
    },
    /// The prefix is empty.
    #[error("preferred interface {entry:?} has an empty MAC prefix: write at least one byte before the =")]
    EmptyPrefix {
        /// The entry.
        entry: String,
    },
    /// The prefix is longer than an Ethernet address.
    #[error("preferred interface {entry:?}: the MAC prefix has {bytes} bytes, but 6 is the most")]
    PrefixTooLong {
        /// The entry.
        entry: String,
        /// Length of the prefix, bytes.
        bytes: usize,
    },
}

/// Parses the list; an empty text has no rules.
impl FromStr for Preferred {
    type Err = PreferredError;

    fn from_str(text: &str) -> Result<Self, PreferredError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(rule).collect::<Result<_, _>>().map(Self)
    }
}

fn rule(entry: &str) -> Result<Rule, PreferredError> {
    let named = || entry.to_owned();
    let Some((prefix, name)) = entry.trim().split_once('=') else {
        return Err(PreferredError::BadFormat { entry: named() });
    };
    let name = IfName::new(name).filter(|name| !name.as_bytes().is_empty());
    let name = name.ok_or_else(|| PreferredError::BadFormat { entry: named() })?;
    let prefix = hex(prefix).ok_or_else(|| PreferredError::BadHex { entry: named() })?;
    match prefix.len() {
        0 => Err(PreferredError::EmptyPrefix { entry: named() }),
        bytes if bytes > MAX_PREFIX => Err(PreferredError::PrefixTooLong { entry: named(), bytes }),
        _ => Ok(Rule { prefix: prefix.into(), name }),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// The text form, with colons.
impl fmt::Display for Preferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Rule { prefix, name }) in self.0.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { "," })?;
            for (n, byte) in prefix.iter().enumerate() {
                write!(f, "{}{byte:02x}", if n == 0 { "" } else { ":" })?;
            }
            write!(f, "={name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rules: &str, mac: [u8; 6]) -> Vec<String> {
        let rules: Preferred = rules.parse().unwrap();
        rules.names_for(&MacAddr::from(mac)).map(IfName::to_string).collect()
    }

    #[test]
    fn prefix_may_have_colons() {
        let rules = "0a:58=eth0,0b59=if2, 0c:60:80:=if3";
        assert_eq!(names(rules, [0x0a, 0x58, 1, 2, 3, 4]), ["eth0"]);
        assert_eq!(names(rules, [0x0b, 0x59, 1, 2, 3, 4]), ["if2"]);
        assert_eq!(names(rules, [0x0c, 0x60, 0x80, 2, 3, 4]), ["if3"]);
        assert!(names(rules, [0x0c, 0x60, 0x81, 2, 3, 4]).is_empty());
    }

    #[test]
    fn the_first_pair_that_fits_comes_first() {
        assert_eq!(names("0a:58=eth0,0a=if2", [0x0a, 0x58, 1, 2, 3, 4]), ["eth0", "if2"]);
    }

    #[test]
    fn no_text_is_no_rule() {
        assert_eq!("".parse(), Ok(Preferred::default()));
        assert_eq!(" ".parse(), Ok(Preferred::default()));
    }

    #[test]
    fn each_fault_names_its_entry() {
        for (entry, error) in [
            ("0a:58", PreferredError::BadFormat { entry: "0a:58".into() }),
            ("0a:58=", PreferredError::BadFormat { entry: "0a:58=".into() }),
            ("0a:58=sixteen-bytes-xy", PreferredError::BadFormat { entry: "0a:58=sixteen-bytes-xy".into() }),
            ("", PreferredError::BadFormat { entry: String::new() }),
            ("0x=eth0", PreferredError::BadHex { entry: "0x=eth0".into() }),
            ("0a5=eth0", PreferredError::BadHex { entry: "0a5=eth0".into() }),
            ("=eth0", PreferredError::EmptyPrefix { entry: "=eth0".into() }),
            ("::=eth0", PreferredError::EmptyPrefix { entry: "::=eth0".into() }),
            ("01020304050607=eth0", PreferredError::PrefixTooLong { entry: "01020304050607=eth0".into(), bytes: 7 }),
        ] {
            let text = format!("0b=if1,{entry}");
            let found = text.parse::<Preferred>().unwrap_err();
            assert_eq!(found, error);
            assert!(found.to_string().contains(&format!("{entry:?}")), "{found}");
        }
    }
}
