//! Patterns for names of labels and annotations.

/// Whether `text` fits `pattern`, where `*` stands for any characters and `?` for one.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Position to resume after a mismatch behind the last `*`: the star may match another character.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((star, from)) = retry else { return false };
                retry = Some((star, from + 1));
                (p, t) = (star + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn wildcards_match() {
        for (pattern, text) in [
            ("app", "app"),
            ("*", ""),
            ("*", "app.kubernetes.io/name"),
            ("app.kubernetes.io/*", "app.kubernetes.io/name"),
            ("*/name", "app.kubernetes.io/name"),
            ("a*b*c", "a-b-b-c"),
            ("ti?r", "tier"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("app", "apps"), ("app*", "ap"), ("a*b*c", "a-b-b"), ("?", ""), ("", "a"), ("ti?r", "tir")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
