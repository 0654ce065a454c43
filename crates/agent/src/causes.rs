//! Prints an error with its causes.

use std::error::Error;

/// The texts of the error and of its sources in one line, as `{:#}` of an [`anyhow::Error`].
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// As [`chain`], for an error that may repeat its causes, as those of `kube` do: each text once.
#[must_use]
pub fn distinct(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustls::pki_types::pem;

    use super::*;
    use crate::export::otlp::TlsError;
    use crate::owner::cni::result::Refusal;

    #[test]
    fn every_cause_is_printed_once() {
        let io = || io::Error::from_raw_os_error(1);
        let json = || serde_json::from_str::<u8>("x").unwrap_err();
        let errors: [(Box<dyn Error>, String); 12] = [
            (
                Box::new(TlsError::File { path: "a.pem".into(), what: "key", source: pem::Error::NoItemsFound }),
                pem::Error::NoItemsFound.to_string(),
            ),
            (
                Box::new(TlsError::Unusable { path: "a.pem".into(), source: rustls::Error::DecryptError }),
                rustls::Error::DecryptError.to_string(),
            ),
            (Box::new(TlsError::NoRoots(io())), io().to_string()),
            (Box::new(TlsError::Setup(rustls::Error::DecryptError)), rustls::Error::DecryptError.to_string()),
            (Box::new(Refusal::Unreadable(io())), io().to_string()),
            (Box::new(Refusal::Malformed(json())), json().to_string()),
            (Box::new(Refusal::NotAFile), "regular file".to_owned()),
            (Box::new(Refusal::TooLarge), "bytes".to_owned()),
            (Box::new(Refusal::CutOff), "middle".to_owned()),
            (Box::new(Refusal::OtherKind("x".to_owned())), "\"x\"".to_owned()),
            (Box::new(Refusal::NoPod), "names no pod".to_owned()),
            (Box::new(Refusal::NoNetns), "names no network".to_owned()),
        ];
        for (error, cause) in errors {
            assert_eq!(chain(&*error).matches(&cause).count(), 1, "{}", chain(&*error));
        }
        let filter = iface_core::Filter::from_words(&["/(/"], &[] as &[&str], &[] as &[&str]).unwrap_err();
        let text = filter.into_iter().map(|fault| chain(&fault)).collect::<String>();
        assert_eq!(text.matches("unclosed group").count(), 1, "{text}");
    }
}
