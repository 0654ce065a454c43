//! Sources of settings: flags over environment over file over defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde_json::Value;

use super::kind::{Env, Setting, Shape, Unit};
use super::table::settings;

/// Reads a variable of the environment; `None` where it is not set or no text.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The words of a setting and their origin. The words may be secrets, so `Debug` shows the origin alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Words {
    /// One word, or the items of a list.
    pub words: Vec<String>,
    /// Their origin.
    pub origin: Origin,
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Origin of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(String),
    /// A key of the file.
    Key(PathBuf, &'static str),
    /// The table of settings.
    Default(&'static str),
}

/// The settings of one origin.
pub type Layer = BTreeMap<&'static str, Words>;

/// The settings that are among the flags given.
#[must_use]
pub fn flags(matches: &ArgMatches) -> Layer {
    settings()
        .filter_map(|setting| {
            let given = matches.try_get_many::<String>(setting.key).ok().flatten()?;
            if matches.value_source(setting.key) != Some(ValueSource::CommandLine) {
                return None;
            }
            let words = given.flat_map(|text| setting.shape.split(text)).collect();
            Some((setting.key, Words { words, origin: Origin::Flag(setting.key) }))
        })
        .collect()
}

/// The settings that are in the environment; a variable set to nothing counts as not set.
///
/// # Errors
/// A line for each variable that cannot be read.
pub(super) fn environment(read: Environment<'_>) -> (Layer, Vec<String>) {
    let mut faults = Vec::new();
    let mut layer = Layer::new();
    for setting in settings() {
        let own = Env { name: &setting.variable(), unit: Unit::Own };
        let found = std::iter::once(&own)
            .chain(setting.also.iter().filter(|env| env.unit != Unit::Otlp))
            .find_map(|env| read(env.name).filter(|text| !text.is_empty()).map(|text| (env, text)));
        let Some((env, text)) = found else { continue };
        match env.unit.read(&text) {
            Ok(text) => {
                let origin = Origin::Variable(env.name.to_owned());
                layer.insert(setting.key, Words { words: setting.shape.split(&text), origin });
            }
            Err(fault) => faults.push(format!("{}: {fault}", env.name)),
        }
    }
    (layer, faults)
}

/// The settings in a YAML file.
///
/// # Errors
/// A line for each key that is unknown or has a value of the wrong type.
pub(super) fn file(path: &Path) -> (Layer, Vec<String>) {
    let parsed = std::fs::read_to_string(path).map_err(|error| error.to_string()).and_then(|text| parse(&text));
    match parsed {
        Ok(map) => keys(path, map),
        Err(fault) => (Layer::new(), vec![format!("{}: {fault}", path.display())]),
    }
}

fn parse(text: &str) -> Result<BTreeMap<String, Value>, String> {
    // An empty document is a file in which everything is commented out.
    // A snippet of the file in the error could hold a secret.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options::<Option<BTreeMap<String, Value>>>(text, options)
        .map(Option::unwrap_or_default)
        .map_err(|error| error.to_string())
}

fn keys(path: &Path, map: BTreeMap<String, Value>) -> (Layer, Vec<String>) {
    let mut faults = Vec::new();
    let mut layer = Layer::new();
    for (key, value) in map {
        let words = Setting::named(&key)
            .ok_or_else(|| unknown(&key))
            .and_then(|setting| words(setting, &value).map(|words| (setting, words)));
        match words {
            Ok((setting, words)) => {
                layer.insert(setting.key, Words { words, origin: Origin::Key(path.to_owned(), setting.key) });
            }
            Err(fault) => faults.push(format!("{}: {fault}", path.display())),
        }
    }
    (layer, faults)
}

fn words(setting: &Setting, value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(items) if setting.shape != Shape::One => {
            items.iter().map(|item| scalar(setting.key, item)).collect()
        }
        _ => scalar(setting.key, value).map(|text| setting.shape.split(&text)),
    }
}

fn scalar(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(switch) => Ok(switch.to_string()),
        Value::Null => Ok(String::new()),
        Value::Array(_) | Value::Object(_) => Err(format!("{key}: is one text, not a list or a map")),
    }
}

fn unknown(key: &str) -> String {
    match nearest(key) {
        Some(near) => format!("{key}: no such setting; did you mean {near}?"),
        None => format!("{key}: no such setting; `netns-agent config default` prints all"),
    }
}

fn nearest(key: &str) -> Option<&'static str> {
    let near = settings().map(|setting| (shared(key, setting.key), setting.key)).max();
    near.filter(|(shared, _)| shared * 2 > key.len()).map(|(_, near)| near)
}

/// A warning for each variable that begins like a setting's and is not one.
///
/// It is not a fault: the kubelet sets `NETNS_AGENT_SERVICE_HOST`, `NETNS_AGENT_PORT_…` and their like in every pod
/// next to a Service of that name.
pub fn unknown_variables(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let known = |name: &str| name == "NETNS_AGENT_CONFIG" || settings().any(|s| s.variable() == name);
    let of_a_service = |name: &str| ["SERVICE_HOST", "SERVICE_PORT", "PORT"].iter().any(|word| name.starts_with(word));
    let warning = |name: String| {
        let rest = name.strip_prefix("NETNS_AGENT_")?;
        if known(&name) || of_a_service(rest) {
            return None;
        }
        let near = nearest(&rest.to_lowercase().replace('_', "-")).and_then(Setting::named);
        let hint = near.map(|near| format!("; did you mean {}?", near.variable())).unwrap_or_default();
        Some(format!("the variable {name} is ignored: no setting has that name{hint}"))
    };
    names.into_iter().filter_map(warning).collect()
}

/// Counts the letter pairs that two words have in common.
fn shared(a: &str, b: &str) -> usize {
    let pairs = |word: &str| word.as_bytes().windows(2).map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
    pairs(a).intersection(&pairs(b)).count()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(f, "--{key}"),
            Self::Variable(name) => f.write_str(name),
            Self::Key(path, key) => write!(f, "{}: {key}", path.display()),
            Self::Default(key) => write!(f, "{key}"),
        }
    }
}
