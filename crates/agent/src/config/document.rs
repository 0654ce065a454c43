//! Writes the table of settings down: the commented default file and the documentation.

use std::fmt::Write as _;

use super::kind::{Section, Setting, Shape};
use super::table::{of, settings};

/// A file in which every setting is explained and commented out at its default.
#[must_use]
pub fn default_file() -> String {
    let mut text = String::from(
        "# netns-agent's settings. Every line below is the default, commented out.\n\
         # Flags win over the environment, the environment over this file.\n",
    );
    for section in Section::ALL {
        let _ = write!(text, "\n## {}\n", section.heading());
        for setting in of(section) {
            text.push('\n');
            for line in wrapped(setting.help, 96) {
                let _ = writeln!(text, "# {line}");
            }
            let _ = writeln!(text, "#{}: {}", setting.key, yaml_default(setting));
        }
    }
    text
}

/// `docs/configuration.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         <!-- Generated from crates/agent/src/config/table; `UPDATE_DOCS=1 cargo test -p netns-agent config::` writes this page. -->\n\n\
         Every setting is a flag (`--poll-period 10s`), a key of the YAML file that `--config` names\n\
         (`poll-period: 10s`) and a variable of the environment (`NETNS_AGENT_POLL_PERIOD=10s`). Flags win over\n\
         the environment, the environment over the file, the file over defaults. Some settings also read the\n\
         variables of other programs; `NETNS_AGENT_…` wins over them. An empty variable counts as unset, and an unknown\n\
         `NETNS_AGENT_…` variable is reported and ignored. All faults of a configuration are reported at once and end the program with\n\
         exit code 2. `netns-agent config check` looks for them without starting anything.\n\n\
         Lists are separated by commas, are YAML lists in the file, and as flags may be repeated. Durations are\n\
         written like `15s`, `500ms`, `1m30s`.\n\n",
    );
    let reloaded = settings().filter(|setting| setting.reloads).map(|setting| format!("`{}`", setting.key));
    let reloaded = reloaded.collect::<Vec<_>>().join(", ");
    let sentence = format!("A change of the file, or SIGHUP, applies {reloaded} at once; the rest needs a restart.");
    for line in wrapped(&sentence, 110) {
        let _ = writeln!(text, "{line}");
    }
    for section in Section::ALL {
        let _ = write!(
            text,
            "\n## {}\n\n| setting | value | default | also | |\n|---|---|---|---|---|\n",
            section.heading()
        );
        for setting in of(section) {
            let also: Vec<_> = setting.also.iter().map(|env| format!("`{}`", env.name)).collect();
            let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
            let value = setting.value.replace('|', "\\|");
            let help = setting.help.replace('|', "\\|");
            let _ = writeln!(text, "| `{}` | `{value}` | {default} | {} | {help} |", setting.key, also.join(" "));
        }
    }
    text.push_str(OPENTELEMETRY);
    text
}

const OPENTELEMETRY: &str = "
## OpenTelemetry's own variables

Besides the variables above, and their forms for one signal (`OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`,
`OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`), these count, as the specification defines them:

| variable | effect |
|---|---|
| `OTEL_RESOURCE_ATTRIBUTES` | attributes of every Resource, `key=value,key=value` |
| `OTEL_SERVICE_NAME` | `service.name` of every Resource |
| `OTEL_SDK_DISABLED` | `true`: nothing is exported over OTLP |
| `OTEL_METRICS_EXPORTER`, `OTEL_LOGS_EXPORTER` | `none`, or a list without `otlp`: the signal is not exported over OTLP |

`netns-agent config check` names the variables of OpenTelemetry that are set and have no effect, such as
`OTEL_CONFIG_FILE`.

An IPv6 address in an endpoint has brackets: `http://[fd00::1]:4317`. Without brackets, as the kubelet writes
`http://$(NODE_IP):4317`, the address is understood where the port is 4317 or 4318.
";

fn yaml_default(setting: &Setting) -> String {
    match setting.shape {
        Shape::One => format!("{:?}", setting.default),
        Shape::List | Shape::Patterns => format!("{:?}", setting.shape.split(setting.default)),
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if !line.is_empty() && line.len() + 1 + word.len() > width => lines.push(word.to_owned()),
            Some(line) => {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            None => {}
        }
    }
    lines
}
