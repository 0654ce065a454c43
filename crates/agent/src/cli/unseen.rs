//! Faults that come and go while a program watches.

use netns_scan::{Fault, Status};

/// Faults to name at once; more are counted.
const NAMED: usize = 5;

/// The faults that the user knows about.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    faults: Vec<Fault>,
}

impl Unseen {
    /// Returns the lines to print after a change of the status.
    pub(super) fn lines(&mut self, status: Status) -> Vec<String> {
        let before = std::mem::replace(&mut self.faults, status.faults);
        let started = self.faults.iter().filter(|fault| !before.contains(fault));
        let started = started.map(|fault| format!("not seen: {}: {}", fault.subject.display(), fault.error));
        let is_over = |fault: &&Fault| !self.faults.iter().any(|now| now.subject == fault.subject);
        let ended =
            before.iter().filter(is_over).map(|fault| format!("no longer a fault: {}", fault.subject.display()));
        let mut lines: Vec<String> = started.chain(ended).collect();
        if lines.len() > NAMED {
            let more = format!("and {} more changes of faults", lines.len() - NAMED);
            lines.truncate(NAMED);
            lines.push(more);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use netns_scan::{EngineKind, FaultKind};

    use super::*;

    fn status(subjects: &[String]) -> Status {
        let fault = |subject: &String| Fault::new(FaultKind::Name, subject, "plain");
        let faults = subjects.iter().map(fault).collect();
        let mut status = Status::new(EngineKind::Nsid, String::new());
        status.faults = faults;
        status
    }

    #[test]
    fn each_fault_is_told_twice() {
        let mut unseen = Unseen::default();
        let one = ["/run/netns/a".to_owned()];
        assert_eq!(unseen.lines(status(&one)), ["not seen: /run/netns/a: plain"]);
        assert_eq!(unseen.lines(status(&one)), [""; 0]);
        assert_eq!(unseen.lines(status(&[])), ["no longer a fault: /run/netns/a"]);
        let many: Vec<String> = (0..10_000).map(|number| format!("/run/netns/{number}")).collect();
        let lines = unseen.lines(status(&many));
        assert_eq!((lines.len(), &*lines[NAMED]), (NAMED + 1, "and 9995 more changes of faults"));
    }
}
