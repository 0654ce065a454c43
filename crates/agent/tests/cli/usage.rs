use std::fs;

use netns_testbed::{Test, tests};

use crate::program::{output, stdout};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        wrong_usage_ends_with_2_and_says_what_is_known,
        all_faults_of_a_configuration_end_the_program_with_2,
        help_version_completions_and_manual_are_printed,
        the_default_file_passes_its_own_check,
        a_directory_that_does_not_exist_yet_is_no_failure,
        a_failure_ends_with_1_and_one_line,
    ]
    .into()
}

fn stderr(arguments: &[&str], code: i32) -> String {
    let output = output(arguments);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn wrong_usage_ends_with_2_and_says_what_is_known() {
    assert!(stderr(&["lisst"], 2).contains("'list'"));
    assert!(stderr(&["list", "--netns-dri", "/x"], 2).contains("--netns-dir"));
    assert!(stderr(&[], 2).contains("Usage"));
}

fn all_faults_of_a_configuration_end_the_program_with_2() {
    for verb in [&["run"][..], &["list"], &["config", "check"]] {
        let said = stderr(&[verb, &["--engine", "magic", "--netns-dir", "here"]].concat(), 2);
        assert!(said.contains("2 faults") && said.contains("--engine") && said.contains("--netns-dir"), "{said}");
    }
}

fn help_version_completions_and_manual_are_printed() {
    assert!(stdout(&["--help"]).contains("Examples:"));
    assert!(stdout(&["--version"]).starts_with("netns-agent "));
    for verb in ["run", "list", "watch", "lookup", "doctor", "top", "config", "completions", "man"] {
        assert!(stdout(&[verb, "--help"]).contains("Usage: netns-agent"), "{verb}");
        assert!(stdout(&["man"]).contains(&format!("netns\\-agent {verb}")), "{verb}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&["completions", shell]).contains("netns-dir"), "{shell}");
    }
}

fn the_default_file_passes_its_own_check() {
    fs::write("/run/netns-agent.yaml", stdout(&["config", "default"])).unwrap();
    assert!(stdout(&["config", "check", "--config", "/run/netns-agent.yaml"]).contains("without fault"));
}

fn a_directory_that_does_not_exist_yet_is_no_failure() {
    let list = stdout(&["list", "--netns-dir", "/run/nowhere", "--cni-cache-dir", "/run/nothing", "-o", "json"]);
    let list: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
    assert!(list.iter().all(|one| one["netns"]["host"] == true), "{list:?}");
}

fn a_failure_ends_with_1_and_one_line() {
    let said = stderr(&["list", "--kubeconfig", "/run/nowhere"], 1);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("/run/nowhere"), "{said}");
    assert!(stderr(&["top"], 1).contains("needs a terminal"));
}
