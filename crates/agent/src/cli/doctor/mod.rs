//! `doctor`: every precondition, whether it holds, and what to do where it does not.

mod check;

use std::fs;
use std::io::{self, Write};

use anyhow::bail;
use tokio::net::TcpListener;

use self::check::{Check, Verdict, capabilities, engine, kernel, namespaces};
use super::table::printable;
use super::terminal::Terminal;
use crate::config::Config;
use crate::pipeline::Pipeline;

/// Prints what was found, a precondition a line.
///
/// # Errors
/// When a precondition does not hold, or `out` cannot be written.
pub async fn run(config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let colour = Terminal::detect().colour;
    let mut bad = 0;
    for check in checks(config).await {
        bad += usize::from(check.is_bad());
        out.write_all(text(&check, colour).as_bytes())?;
    }
    out.flush()?;
    match bad {
        0 => Ok(()),
        1 => bail!("1 precondition does not hold, see above"),
        _ => bail!("{bad} preconditions do not hold, see above"),
    }
}

async fn checks(config: &Config) -> Vec<Check> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let mut checks = vec![kernel(&read("/proc/sys/kernel/osrelease")), capabilities(&read("/proc/self/status"))];
    checks.extend(seeing(config).await);
    checks.push(admin_address(config).await);
    checks
}

async fn seeing(config: &Config) -> Vec<Check> {
    let mut pipeline = match Pipeline::start(config).await {
        Ok(pipeline) => pipeline,
        Err(error) => return vec![Check::bad("engine", format!("{error:#}"), "try --engine auto")],
    };
    if let Err(error) = pipeline.settle().await {
        return vec![Check::bad("namespaces", format!("{error:#}"), "look at the kernel's log")];
    }
    let status = pipeline.handle().status();
    std::iter::once(engine(&status)).chain(namespaces(&status)).collect()
}

async fn admin_address(config: &Config) -> Check {
    const SUBJECT: &str = "admin address";
    let Some(address) = config.admin_address else {
        return Check::off(SUBJECT, "no metrics are served; --admin-address 127.0.0.1:9465 serves them");
    };
    match TcpListener::bind(address).await {
        Ok(_) => Check::ok(SUBJECT, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Check::ok(SUBJECT, format!("{address} is in use, as it is where an agent runs"))
        }
        Err(error) => Check::bad(SUBJECT, format!("{address}: {error}"), "name an address of this machine"),
    }
}

fn text(check: &Check, colour: bool) -> String {
    let (word, escape, found) = match &check.verdict {
        Verdict::Ok(found) => ("ok", "\x1b[32m", found),
        Verdict::Off(how) => ("off", "\x1b[2m", how),
        Verdict::Bad { why, .. } => ("NOT OK", "\x1b[31m", why),
    };
    let (on, off) = if colour { (escape, "\x1b[0m") } else { ("", "") };
    let line = format!("{on}{word:<6}{off}  {:<14} {}\n", check.subject, printable(found));
    match &check.verdict {
        Verdict::Bad { cure, .. } => format!("{line}        {:<14} what to do: {}\n", "", printable(cure)),
        Verdict::Ok(_) | Verdict::Off(_) => line,
    }
}
