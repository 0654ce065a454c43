//! OpenTelemetry's own variables: those that count, and those that are ignored. Pure.

use super::table::settings;

/// Variables that count, and are those of no setting.
const OTHERS: [&str; 3] = ["OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME", "OTEL_SDK_DISABLED"];

/// A line for each variable of OpenTelemetry that is set and has no effect.
pub fn ignored_variables(variables: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let ignored = |(name, value): (String, String)| {
        let reason = (!value.trim().is_empty()).then(|| reason(&name, &value)).flatten()?;
        Some(format!("the variable {name} is ignored: {reason}"))
    };
    variables.into_iter().filter_map(ignored).collect()
}

fn reason(name: &str, value: &str) -> Option<String> {
    let rest = name.strip_prefix("OTEL_")?;
    match rest {
        _ if OTHERS.contains(&name) => None,
        // Scrapers are served by the admin server, whatever the variable names.
        "METRICS_EXPORTER" | "LOGS_EXPORTER" => unknown_exporters(value),
        "CONFIG_FILE" | "EXPERIMENTAL_CONFIG_FILE" => {
            Some("the agent reads no file of OpenTelemetry's declarative configuration; use --config".to_owned())
        }
        _ if rest.starts_with("TRACES_") || rest.starts_with("BSP_") || rest == "PROPAGATORS" => {
            Some("the agent sends no traces".to_owned())
        }
        _ if settings().flat_map(|setting| setting.also).any(|env| general(env.name) == general(name)) => None,
        _ => Some("no setting of the agent reads it".to_owned()),
    }
}

fn unknown_exporters(names: &str) -> Option<String> {
    let unknown: Vec<_> =
        names.split(',').map(str::trim).filter(|name| ["console", "logging"].contains(name)).collect();
    (!unknown.is_empty()).then(|| format!("the agent has no exporter {}", unknown.join(", ")))
}

/// The name without the signal in it: settings are those of both signals.
fn general(name: &str) -> String {
    name.replace("_OTLP_METRICS_", "_OTLP_").replace("_OTLP_LOGS_", "_OTLP_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(name: &str, value: &str) -> Option<String> {
        ignored_variables([(name.to_owned(), value.to_owned())]).pop()
    }

    #[test]
    fn variables_without_effect_are_named() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
            ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "a=b"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "otlp,prometheus"),
            ("OTEL_SERVICE_NAME", "nodes"),
            ("OTEL_CONFIG_FILE", ""),
            ("PATH", "/bin"),
        ] {
            assert_eq!(ignored(name, value), None, "{name}");
        }
        for (name, value, part) in [
            ("OTEL_CONFIG_FILE", "/etc/otel.yaml", "use --config"),
            ("OTEL_METRICS_EXPORTER", "otlp, console", "no exporter console"),
            ("OTEL_TRACES_SAMPLER", "always_on", "no traces"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c", "no setting"),
            ("OTEL_EXPORTER_OTLP_ENDPIONT", "http://c", "no setting"),
        ] {
            let line = ignored(name, value).unwrap_or_default();
            assert!(line.contains(name) && line.contains(part), "{name}: {line}");
        }
    }
}
