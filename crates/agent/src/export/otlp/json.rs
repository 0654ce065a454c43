//! OTLP as JSON. Source: "OpenTelemetry Protocol Specification", section "JSON Protobuf Encoding".

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message as _;
use serde::Deserialize;

use crate::export::settings::Signal;

/// An encoded request as JSON.
///
/// # Errors
/// For bytes that are not a request of the signal.
pub(super) fn request(signal: Signal, body: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    Ok(match signal {
        Signal::Metrics => serde_json::to_vec(&ExportMetricsServiceRequest::decode(body)?)?,
        Signal::Logs => serde_json::to_vec(&ExportLogsServiceRequest::decode(body)?)?,
    })
}

/// The part of a success that the receiver refused.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Partial {
    #[serde(alias = "rejectedLogRecords")]
    rejected_data_points: Number,
    error_message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    partial_success: Option<Partial>,
}

/// An integer of 64 bits, which JSON carries as text; numbers are accepted.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Number(i64),
    Text(String),
}

impl Default for Number {
    fn default() -> Self {
        Self::Number(0)
    }
}

/// Number of rejected items with the receiver's message, if any; `None` for an answer that is not OTLP.
pub(super) fn partial_success(answer: &[u8]) -> Option<Option<(i64, String)>> {
    if answer.is_empty() {
        return Some(None);
    }
    let Answer { partial_success } = serde_json::from_slice(answer).ok()?;
    let Some(Partial { rejected_data_points, error_message }) = partial_success else { return Some(None) };
    let rejected = match rejected_data_points {
        Number::Number(number) => number,
        Number::Text(text) => text.parse().ok()?,
    };
    Some(Some((rejected, error_message)))
}

/// The message of a refusal (`google.rpc.Status`), or nothing.
pub(super) fn refusal(answer: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Status {
        message: String,
    }
    serde_json::from_slice(answer).map(|Status { message }| message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::{
        Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
    };
    use serde_json::Value;

    use super::*;

    /// Integers of 64 bits are text, enums are numbers, and names are in lowerCamelCase.
    #[test]
    fn requests_follow_the_mapping() {
        let point = NumberDataPoint {
            start_time_unix_nano: 1 << 60,
            time_unix_nano: 2 << 60,
            value: Some(number_data_point::Value::AsInt(1 << 53 | 1)),
            ..NumberDataPoint::default()
        };
        let ended = NumberDataPoint { flags: 1, ..NumberDataPoint::default() };
        let sum = Sum { data_points: vec![point, ended], aggregation_temporality: 2, is_monotonic: true };
        let metric = Metric { name: "io".into(), data: Some(metric::Data::Sum(sum)), ..Metric::default() };
        let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
        let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
        let body = ExportMetricsServiceRequest { resource_metrics }.encode_to_vec();
        let json: Value = serde_json::from_slice(&request(Signal::Metrics, &body).unwrap()).unwrap();
        let sum = &json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"];
        assert_eq!((&sum["aggregationTemporality"], &sum["isMonotonic"]), (&2.into(), &true.into()));
        let [point, ended] = [0, 1].map(|at| &sum["dataPoints"][at]);
        assert_eq!(point["asInt"], "9007199254740993");
        assert_eq!((&point["startTimeUnixNano"], &point["flags"]), (&"1152921504606846976".into(), &0.into()));
        assert_eq!((ended.get("asInt"), &ended["flags"]), (None, &1.into()));
        assert!(request(Signal::Logs, b"no protobuf").is_err());
    }

    #[test]
    fn answers_are_read_leniently() {
        let partial = |answer: &str| partial_success(answer.as_bytes());
        for whole in ["", "{}", r#"{"partialSuccess": null}"#, r#"{"other": 1}"#] {
            assert_eq!(partial(whole), Some(None), "{whole}");
        }
        let no_room = Some(Some((3, "no room".to_owned())));
        for part in [
            r#"{"partialSuccess": {"rejectedDataPoints": "3", "errorMessage": "no room"}}"#,
            r#"{"partialSuccess": {"rejectedLogRecords": 3, "errorMessage": "no room"}}"#,
        ] {
            assert_eq!(partial(part), no_room, "{part}");
        }
        for foreign in ["<html>", "7", r#"{"partialSuccess": {"rejectedDataPoints": "many"}}"#] {
            assert_eq!(partial(foreign), None, "{foreign}");
        }
        assert_eq!(refusal(br#"{"code": 3, "message": "too old"}"#), "too old");
        assert_eq!(refusal(b"no"), "");
    }
}
