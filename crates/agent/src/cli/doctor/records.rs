//! Directories with records of containers that are no pods.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::check::Check;

/// Tells which directories are read. None of them is a precondition: pods have other sources.
pub(super) fn container_records(dirs: &[PathBuf]) -> Vec<Check> {
    let read = |dir: &PathBuf| fs::read_dir(dir).map(Iterator::count);
    checks(dirs.iter().map(|dir| (dir.display().to_string(), read(dir))))
}

fn checks(dirs: impl Iterator<Item = (String, io::Result<usize>)>) -> Vec<Check> {
    const SUBJECT: &str = "containers";
    let check = |(dir, read): (String, io::Result<usize>)| match read {
        Ok(1) => Some(Check::ok(SUBJECT, format!("{dir}: 1 entry"))),
        Ok(entries) => Some(Check::ok(SUBJECT, format!("{dir}: {entries} entries"))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
        Err(error) => Some(Check::off(
            SUBJECT,
            format!(
                "{dir} cannot be read ({error}), so its containers have no names; run as uid 0 or with \
                 CAP_DAC_READ_SEARCH, or leave the directory out of --container-dir"
            ),
        )),
    };
    let checks: Vec<Check> = dirs.filter_map(check).collect();
    match checks.is_empty() {
        true => vec![Check::off(
            SUBJECT,
            "no records of Docker, podman, CRI-O, containerd, LXC or systemd-machined here (--container-dir)",
        )],
        false => checks,
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    /// Only a directory that exists and cannot be read hides names.
    #[test]
    fn unreadable_records_are_told() {
        let error = |kind: io::ErrorKind| Err(io::Error::from(kind));
        let of = |read: Vec<io::Result<usize>>| checks(read.into_iter().map(|read| ("/d".to_owned(), read)));
        let denied = of(vec![Ok(2), error(io::ErrorKind::PermissionDenied), error(io::ErrorKind::NotFound)]);
        let [found, hidden] = &denied[..] else { panic!("{denied:?}") };
        assert_eq!(found.outcome, Outcome::Ok("/d: 2 entries".into()));
        assert!(matches!(&hidden.outcome, Outcome::Off(text) if text.contains("CAP_DAC_READ_SEARCH")), "{hidden:?}");
        let nothing = of(vec![error(io::ErrorKind::NotFound)]);
        assert!(matches!(&nothing[..], [Check { outcome: Outcome::Off(text), .. }] if text.contains("no records")));
    }
}
