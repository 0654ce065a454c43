//! Values that are written as text.

use std::fmt::Display;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// RFC 3339 in UTC with nanoseconds; a time outside of its years becomes the nearest one.
pub(super) fn rfc3339(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(if time < SystemTime::UNIX_EPOCH {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    format!("{time:.9}")
}

/// A value written as its display text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
