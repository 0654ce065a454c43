//! Every command in a `sh` block of the documents is run; those in `console` blocks need a cluster
//! and are run by its test.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use netns_testbed::{Listen, NetnsDir, Rtnl, Running, Suite, Veth, tests};
use nix::sys::signal::Signal;

const DOCUMENTS: [&str; 2] = ["README.md", "CONTRIBUTING.md"];

/// The command with which the documents run the program from a checkout.
const CARGO_RUN: &str = "cargo run --release --locked -p netns-agent --";

fn main() -> ExitCode {
    Suite::new()
        .tests(tests![commands_of_the_documents_work, readme_needs_two_commands, links_of_the_documents_exist,])
        .main()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(document: &str) -> String {
    fs::read_to_string(root().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// The lines of all blocks with this word behind the fence.
fn commands(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.lines()
        .filter(|line| {
            let fence = line.starts_with("```");
            inside = if fence { *line == "```sh" } else { inside };
            inside && !fence
        })
        .collect()
}

fn commands_of_the_documents_work() {
    Rtnl::new().up(&["lo"]);
    let dir = NetnsDir::standard();
    let blue = dir.add("blue");
    let _veth = Veth::up("host0", &blue, "eth0");
    let mut run = 0;
    for document in DOCUMENTS {
        for line in commands(&read(document)) {
            execute(line);
            run += 1;
        }
    }
    assert!(run >= 10, "only {run} commands were found");
}

fn execute(line: &str) {
    let arguments = line.strip_prefix(CARGO_RUN).or_else(|| line.strip_prefix("netns-agent"));
    match arguments.map(|arguments| arguments.split_whitespace().collect::<Vec<_>>()) {
        Some(arguments) if arguments == ["run"] => starts_and_stops(&arguments),
        Some(arguments) => {
            let output = Command::new(env!("CARGO_BIN_EXE_netns-agent")).args(arguments).output().unwrap();
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(!output.stdout.is_empty(), "{line} printed nothing");
        }
        // The script runs this test, so the test cannot run the script.
        None => {
            assert_eq!(line, "tests/run.sh", "nobody runs {line:?}");
            let mode = fs::metadata(root().join(line)).expect("it is there").permissions().mode();
            assert!(mode & 0o111 != 0, "{line} cannot be executed");
        }
    }
}

fn starts_and_stops(arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netns-agent"));
    command.args(arguments);
    let running = Running::start(command, Listen::Errors);
    running.until(|line| line.contains("everything that exists is known"));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended(), Some(0));
}

fn readme_needs_two_commands() {
    let readme = read("README.md");
    let (_, after) = readme.split_once("## Two commands").expect("the heading");
    let (section, _) = after.split_once("\n## ").expect("a heading after it");
    assert_eq!(commands(section), [&format!("{CARGO_RUN} run"), "tests/run.sh"]);
}

fn links_of_the_documents_exist() {
    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/architecture.md",
        "docs/operations.md",
        "docs/benchmarks.md",
    ] {
        let text = read(document);
        let folder = root().join(document).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let path = folder.join(link.split('#').next().unwrap());
            assert!(path.exists(), "{document} links to {link}, which is not there");
        }
    }
}
