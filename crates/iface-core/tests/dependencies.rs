//! iface-core runs in any program on any system: no runtime, no system calls.

/// Allowed dependencies. All build wherever `std` does, without a runtime.
const ALLOWED: [&str; 7] = ["arc-swap", "atomic-waker", "foldhash", "futures-core", "ipnet", "regex", "thiserror"];

#[test]
fn dependencies_build_without_linux_and_runtime() {
    let manifest = include_str!("../Cargo.toml");
    let sections: Vec<_> = manifest.lines().filter(|line| line.contains("dependencies")).collect();
    assert_eq!(sections, ["[dependencies]", "[dev-dependencies]"], "a kind of dependency that is not looked at here");
    let (_, rest) = manifest.split_once("[dependencies]\n").unwrap();
    let (list, _) = rest.split_once("\n\n").unwrap();
    let names: Vec<_> = list.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).collect();
    assert_eq!(names, ALLOWED);
}

#[test]
fn its_source_asks_for_no_operating_system() {
    let src = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut folders = vec![std::path::PathBuf::from(src)];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let source = std::fs::read_to_string(entry.path()).unwrap();
            for os in ["std::os::", "target_os", "cfg(unix)", "cfg(linux)", "libc::"] {
                assert!(!source.contains(os), "{} has {os}", entry.path().display());
            }
            read += 1;
        }
    }
    assert!(read > 15, "only {read} files were looked at");
}
