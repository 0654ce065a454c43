//! Reads the text of one setting.

use std::time::Duration;

/// A duration in Go's notation: `15s`, `500ms`, `1m30s`; never zero.
///
/// # Errors
/// One line with the text and a valid example.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration: write one like 15s, 500ms or 1m30s");
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(wrong()),
        };
        let part = number.parse().ok().and_then(|number| unit.checked_mul(number)).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    if total.is_zero() { Err(wrong()) } else { Ok(total) }
}

/// `true` or `false`.
///
/// # Errors
/// One line with the text.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// Splits at commas.
#[must_use]
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(|item| item.trim().to_owned()).collect()
}

/// Splits at commas, except inside `/…/`, where a comma belongs to a regular expression.
#[must_use]
pub(super) fn patterns(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for part in text.split(',') {
        match items.last_mut() {
            Some(open) if open.starts_with('/') && !is_regex(open) => {
                open.push(',');
                open.push_str(part.trim_end());
            }
            _ => items.push(part.trim().to_owned()),
        }
    }
    items
}

fn is_regex(item: &str) -> bool {
    item.len() > 1 && item.starts_with('/') && item.ends_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_in_go() {
        for (text, milliseconds) in [("15s", 15_000), ("500ms", 500), ("1m30s", 90_000), ("2h", 7_200_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "0s", "15", "s", "1d", "-1s", "1s1", "1.5s", "99999999999999999999h", "18446744073709551615h"]
        {
            let error = duration(text).unwrap_err();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn commas_in_regular_expressions_do_not_split() {
        assert_eq!(patterns("eth0, /^veth[0-9]{1,3}$/ ,net1"), ["eth0", "/^veth[0-9]{1,3}$/", "net1"]);
        assert_eq!(patterns("/a/,/b/,c"), ["/a/", "/b/", "c"]);
        assert_eq!(list("/run/netns, /var/run/netns"), ["/run/netns", "/var/run/netns"]);
    }
}
