//! Logs to standard error, as text or JSON; every line has an `event.name`.

use std::fmt::Debug;
use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, format};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::terminal::colour_allowed;
use crate::config::LogFormat;
use crate::printable::Printable;

/// Starts logging; once a process.
///
/// # Errors
/// When logging was started before.
pub fn start(level: LevelFilter, format: LogFormat) -> anyhow::Result<()> {
    let registry = tracing_subscriber::registry().with(filter(level));
    match format {
        LogFormat::Text => {
            let ansi = std::io::stderr().is_terminal() && colour_allowed();
            registry.with(text(std::io::stderr, ansi)).try_init()?;
        }
        LogFormat::Json => {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()?;
        }
    }
    Ok(())
}

/// Lines for people. Fields hold names that pods choose.
fn text<S, W>(writer: W, ansi: bool) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> fmt::MakeWriter<'w> + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(ansi).with_target(false);
    layer.fmt_fields(format::debug_fn(field).delimited(" "))
}

/// Writes a field of a line of text.
fn field(out: &mut format::Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let value = Printable(format_args!("{value:?}"));
    if field.name() == "message" { write!(out, "{value}") } else { write!(out, "{field}={value}") }
}

/// Everything at this level, and kube's own lines from `debug` on: kube logs each failed request with its body, while
/// the agent logs a failure once with the remedy.
fn filter(level: LevelFilter) -> Targets {
    let kube = if level < LevelFilter::DEBUG { LevelFilter::OFF } else { level };
    Targets::new().with_default(level).with_target("kube", kube)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tracing::Level;

    use super::*;

    #[test]
    fn kube_logs_at_debug_only() {
        for target in ["kube_client::client", "kube_runtime::watcher"] {
            assert!(!filter(LevelFilter::INFO).would_enable(target, &Level::ERROR));
            assert!(filter(LevelFilter::DEBUG).would_enable(target, &Level::DEBUG));
        }
        assert!(filter(LevelFilter::INFO).would_enable("netns_agent::app", &Level::INFO));
    }

    /// The lines that `log` writes, as text without colours.
    fn lines(log: impl FnOnce()) -> String {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let lines = tracing_subscriber::registry().with(text(std::sync::Mutex::new(writer), false));
        tracing::subscriber::with_default(lines, log);
        let mut written = String::new();
        std::io::Read::read_to_string(&mut reader, &mut written).unwrap();
        written
    }

    #[test]
    fn names_cannot_forge_lines() {
        let name = "eth0\n\x1b[2J\u{202e}";
        let written = lines(|| tracing::warn!(interface = %name, pod = name, count = 2, "odd {name}"));
        let (_, line) = written.split_once("WARN ").unwrap();
        let shown = r"eth0\n\u{1b}[2J\u{202e}";
        assert_eq!(line, format!("odd {shown} interface={shown} pod=\"{shown}\" count=2\n"));
    }

    /// The names behind `event.name` in the sources below `dir`.
    fn events_below(dir: &std::path::Path, names: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                events_below(&entry.path(), names);
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let found = text.split(concat!("event", ".name = \"")).skip(1).filter_map(|rest| rest.split('"').next());
            names.extend(found.map(str::to_owned));
        }
    }

    #[test]
    fn operations_page_lists_every_event() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut logged = BTreeSet::new();
        for sources in ["crates/agent/src", "crates/netns-scan/src"] {
            events_below(&root.join(sources), &mut logged);
        }
        let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let well_formed =
            |name: &&String| name.split_once('.').is_some_and(|(part, event)| is_word(part) && is_word(event));
        let odd: Vec<_> = logged.iter().filter(|name| !well_formed(name)).collect();
        assert!(odd.is_empty(), "not <part>.<what_happened>: {odd:?}");
        let page = std::fs::read_to_string(root.join("docs/operations.md")).unwrap();
        let (_, section) = page.split_once("## Log events").unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let documented: BTreeSet<_> = rows.map(str::to_owned).collect();
        assert_eq!(logged, documented, "the table in docs/operations.md, section \"Log events\"");
    }
}
