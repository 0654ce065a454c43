//! Any configuration file is used, or every fault in it is a line.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use netns_agent::config::{Layer, ConfigSources};

/// One file for each process, written anew for each run.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("netns-agent-fuzz-{}.yaml", std::process::id())));

fuzz_target!(|text: &[u8]| {
    fs::write(&*FILE, text).expect("the temporary directory takes a file");
    let sources = ConfigSources { flags: Layer::new(), file: Some(FILE.clone()) };
    if let Err(faults) = sources.load(&|_| None) {
        assert!(!faults.0.is_empty() && faults.0.iter().all(|fault| !fault.is_empty()));
    }
});
