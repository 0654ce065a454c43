//! Settings: the program itself.

use std::path::PathBuf;

use super::{address, choice, one, some};
use crate::config::kind::{Setting, Shape};
use crate::config::value::duration;
use crate::config::{Authorization, LogFormat};

/// The program itself.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "admin-address",
        shape: Shape::One,
        value: "IP:PORT",
        default: "127.0.0.1:9465",
        also: &[],
        help: "Address of /metrics, /livez, /readyz and /v1/…; empty: none.",
        reloads: false,
        set: |config, words| {
            config.admin_address = address(words)?;
            Ok(())
        },
    },
    Setting {
        key: "admin-socket",
        shape: Shape::One,
        value: "PATH",
        default: "",
        also: &[],
        help: "Unix socket that serves the same as --admin-address, for programs on the node that use no port; empty: none.",
        reloads: false,
        set: |config, words| {
            config.admin_socket.path = (!one(words).is_empty()).then(|| one(words).into());
            Ok(())
        },
    },
    Setting {
        key: "admin-socket-mode",
        shape: Shape::One,
        value: "MODE",
        default: "0660",
        also: &[],
        help: "Permissions of the socket in octal digits: whoever may write to the socket can connect.",
        reloads: false,
        set: |config, words| {
            let mode = u32::from_str_radix(one(words), 8).ok().filter(|mode| *mode <= 0o777);
            config.admin_socket.mode = mode.ok_or_else(|| format!("{:?} is not a mode like 0660", one(words)))?;
            Ok(())
        },
    },
    Setting {
        key: "admin-socket-group",
        shape: Shape::One,
        value: "GID",
        default: "",
        also: &[],
        help: "Number of the group of the socket; empty: the group of the agent.",
        reloads: false,
        set: |config, words| {
            let group = Some(one(words)).filter(|group| !group.is_empty()).map(str::parse).transpose();
            config.admin_socket.group = group.map_err(|_| format!("{:?} is not the number of a group", one(words)))?;
            Ok(())
        },
    },
    Setting {
        key: "metrics-address",
        shape: Shape::One,
        value: "IP:PORT",
        default: "",
        also: &[],
        help: "Address of a second server with /metrics and probes alone, so that scrapers need no access to /v1/…; empty: none.",
        reloads: false,
        set: |config, words| {
            config.metrics_address = address(words)?;
            Ok(())
        },
    },
    Setting {
        key: "metrics-tls-certificate",
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[],
        help: "PEM file of the certificate of --metrics-address, with intermediate certificates; read again after a renewal. Empty: no TLS.",
        reloads: false,
        set: |config, words| {
            config.tls_paths.certificate = some(words).map(PathBuf::from);
            Ok(())
        },
    },
    Setting {
        key: "metrics-tls-key",
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[],
        help: "PEM file of the private key of the certificate.",
        reloads: false,
        set: |config, words| {
            config.tls_paths.key = some(words).map(PathBuf::from);
            Ok(())
        },
    },
    Setting {
        key: "metrics-tls-client-ca",
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[],
        help: "PEM file of the authorities of scrapers' certificates: a scraper without such a certificate is refused. Empty: scrapers need no certificate.",
        reloads: false,
        set: |config, words| {
            config.tls_paths.client_ca = some(words).map(PathBuf::from);
            Ok(())
        },
    },
    Setting {
        key: "metrics-authorization",
        shape: Shape::One,
        value: "none|kubernetes",
        default: "none",
        also: &[],
        help: "Tokens that scrapers of --metrics-address need. kubernetes: a bearer token whose user may get the non-resource URL /metrics, as TokenReview and SubjectAccessReview of the API server say; an answer counts for a minute.",
        reloads: false,
        set: |config, words| {
            config.metrics_authorization = match one(words) {
                "none" => Authorization::Open,
                "kubernetes" => Authorization::Kubernetes,
                other => return Err(choice(other, "none or kubernetes")),
            };
            Ok(())
        },
    },
    Setting {
        key: "shutdown-grace",
        shape: Shape::One,
        value: "DURATION",
        default: "10s",
        also: &[],
        help: "Time limit of the last export after SIGTERM.",
        reloads: false,
        set: |config, words| duration(one(words)).map(|grace| config.shutdown_grace = grace),
    },
    Setting {
        key: "log-level",
        shape: Shape::One,
        value: "error|warn|info|debug|trace",
        default: "",
        also: &[],
        help: "Least severe level to log; info by default for run. Other verbs log errors unless the flag is given.",
        reloads: false,
        set: |config, words| {
            let level = |word: String| match word.as_str() {
                "error" | "warn" | "info" | "debug" | "trace" => word.parse().map_err(|_| word),
                _ => Err(word),
            };
            let level = some(words).map(level).transpose();
            config.log.level = level.map_err(|word| choice(&word, "error, warn, info, debug or trace"))?;
            Ok(())
        },
    },
    Setting {
        key: "log-format",
        shape: Shape::One,
        value: "text|json",
        default: "text",
        also: &[],
        help: "Format of log lines on standard error.",
        reloads: false,
        set: |config, words| {
            config.log.format = match one(words) {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                other => return Err(choice(other, "text or json")),
            };
            Ok(())
        },
    },
];
