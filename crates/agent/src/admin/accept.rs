//! Content negotiation according to RFC 9110, sections 12.4 and 12.5.

use axum::http::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName};

use crate::export::prometheus::Format;

/// One member of `Accept` or `Accept-Encoding`.
struct Range<'a> {
    /// Media range or coding.
    name: &'a str,
    /// Parameters, without the weight.
    parameters: Vec<(&'a str, &'a str)>,
    /// 0 means "not acceptable".
    weight: f32,
}

impl<'a> Range<'a> {
    fn new(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let (mut parameters, mut weight) = (Vec::new(), 1.0);
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            let (key, value) = (key.trim(), value.trim().trim_matches('"'));
            if key.eq_ignore_ascii_case("q") {
                weight = value.parse().ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0);
            } else {
                parameters.push((key, value));
            }
        }
        Self { name, parameters, weight }
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether the range names one of these versions of a media type, or none. Other parameters, such as `charset` or
    /// Prometheus' `escaping`, describe what the client can read beyond plain names and exclude nothing.
    fn allows_version(&self, versions: &[&str]) -> bool {
        let version = self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case("version"));
        version.is_none_or(|(_, version)| versions.contains(version))
    }
}

/// The members of all headers with the name; a header may be repeated.
fn ranges(headers: &HeaderMap, name: HeaderName) -> Vec<Range<'_>> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(Range::new).filter(|range| !range.name.is_empty()).collect()
}

/// The format that the client prefers. A client without a preference, or with wishes that cannot be met, gets
/// Prometheus' text format.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let ranges = ranges(headers, ACCEPT);
    let named = |media: &str, versions: &[&str]| {
        let named = ranges.iter().filter(|range| range.is(media) && range.allows_version(versions));
        named.map(|range| range.weight).reduce(f32::max)
    };
    // The most specific range counts.
    let weight = |media: &str, any: &str, versions: &[&str]| {
        named(media, versions).or_else(|| named(any, versions)).or_else(|| named("*/*", versions)).unwrap_or(0.0)
    };
    let open = "application/openmetrics-text";
    let open_weight = weight(open, "application/*", &["1.0.0", "0.0.1"]);
    let text_weight = weight("text/plain", "text/*", &["0.0.4"]);
    let is_named = ranges.iter().any(|range| range.is(open));
    if open_weight > text_weight || (is_named && open_weight == text_weight && open_weight > 0.0) {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// Whether to compress: gzip is acceptable, and no less than an answer without compression.
pub(super) fn gzip(headers: &HeaderMap) -> bool {
    let ranges = ranges(headers, ACCEPT_ENCODING);
    let named = |coding: &str| ranges.iter().find(|range| range.is(coding)).map(|range| range.weight);
    let gzip = named("gzip").or_else(|| named("x-gzip")).or_else(|| named("*")).unwrap_or(0.0);
    gzip > 0.0 && named("identity").is_none_or(|identity| gzip >= identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn preferred_format_is_chosen() {
        // As Prometheus 3 asks.
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,\
                          text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            (&[][..], Format::Text),
            (&[prometheus], Format::OpenMetrics),
            (&["text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.1"], Format::Text),
            (&["Application/OpenMetrics-Text ; Version=\"1.0.0\" ; Q=0.5"], Format::OpenMetrics),
            (&["application/openmetrics-text, text/plain"], Format::OpenMetrics),
            (&["text/plain", "application/openmetrics-text;q=0.1"], Format::Text),
            (&["text/plain;q=0.1", "application/openmetrics-text"], Format::OpenMetrics),
            (&["application/openmetrics-text;q=0"], Format::Text),
            (&["application/openmetrics-text;q=0,*/*"], Format::Text),
            (&["application/openmetrics-text;version=2.0.0"], Format::Text),
            (&["application/openmetrics-text;q=2"], Format::Text),
            (&["text/plain;q=0,*/*"], Format::OpenMetrics),
            (&["*/*"], Format::Text),
            (&["application/*"], Format::OpenMetrics),
            (&["text/html,application/xhtml+xml,*/*;q=0.8"], Format::Text),
            (&["application/json"], Format::Text),
            (&[",, ;q"], Format::Text),
        ] {
            assert_eq!(super::format(&headers(ACCEPT, accept)), format, "{accept:?}");
        }
    }

    #[test]
    fn compression_needs_consent() {
        for (accept, taken) in [
            (&[][..], false),
            (&["gzip"], true),
            (&["deflate, GZIP;q=0.5"], true),
            (&["deflate", "gzip"], true),
            (&["gzip;q=0"], false),
            (&["gzip; Q=0.000"], false),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["gzip;q=0, *"], false),
            (&["identity, gzip;q=0.5"], false),
            (&["identity;q=0.5, gzip"], true),
            (&[""], false),
        ] {
            assert_eq!(gzip(&headers(ACCEPT_ENCODING, accept)), taken, "{accept:?}");
        }
    }
}
