//! Settings: network namespaces and the engine that reads them.

use netns_scan::EngineChoice;

use super::{absolute, choice, one, own, some};
use crate::config::Listen;
use crate::config::kind::{Setting, Shape};
use crate::config::value::{duration, switch};

/// Network namespaces and the engine that reads them.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "engine",
        shape: Shape::One,
        value: "auto|setns|nsid",
        default: "auto",
        also: &[],
        help: "Engine that reads other network namespaces: nsid needs CAP_NET_ADMIN and CAP_NET_BROADCAST, setns needs \
               CAP_SYS_ADMIN; auto takes nsid where possible, else setns, else the own namespace only.",
        reloads: false,
        set: |config, words| {
            config.scan.engine = match one(words) {
                "auto" => EngineChoice::Auto,
                "setns" => EngineChoice::Setns,
                "nsid" => EngineChoice::Nsid,
                other => return Err(choice(other, "auto, setns or nsid")),
            };
            Ok(())
        },
    },
    Setting {
        key: "netns-dir",
        shape: Shape::List,
        value: "DIR",
        default: "auto",
        also: &[],
        help: "Directory of named network namespaces; may be repeated, and need not exist yet. auto: /var/run/netns, and every directory in which a namespace is mounted, as by Docker and podman.",
        reloads: false,
        set: |config, words| {
            let is_auto = |word: &String| word == "auto";
            config.scan.find_mounted = words.iter().any(is_auto);
            let dirs = words.iter().map(|word| absolute(if is_auto(word) { "/var/run/netns" } else { word }));
            config.scan.dirs = dirs.collect::<Result<_, _>>()?;
            Ok(())
        },
    },
    Setting {
        key: "find-unnamed",
        shape: Shape::One,
        value: "true|false",
        default: "true",
        also: &[],
        help: "Follow network namespaces without a name, too, as soon as a veth links them, directly or through another namespace, to the host's; only with the nsid engine.",
        reloads: false,
        set: |config, words| switch(one(words)).map(|on| config.scan.find_unnamed = on),
    },
    Setting {
        key: "proc",
        shape: Shape::One,
        value: "DIR",
        default: "",
        also: &[],
        help: "Find network namespaces by their processes, too, in this /proc of the node: the only way to those without a name and without a veth. With an API server, processes also name the pod of a namespace that nothing else gives to a pod. Needs the node's processes (hostPID) and the capability SYS_PTRACE. Names containers of rootless podman, too. Empty: no.",
        reloads: false,
        set: |config, words| {
            config.scan.proc = some(words).map(|word| absolute(&word)).transpose()?;
            Ok(())
        },
    },
    Setting {
        key: "listen",
        shape: Shape::One,
        value: "watch|poll",
        default: "watch",
        also: &[own("LISTEN_INTERFACES")],
        help: "Follow kernel events, or list all interfaces once per poll period.",
        reloads: false,
        set: |config, words| {
            config.listen = match one(words) {
                "watch" => Listen::Watch,
                "poll" => Listen::Poll,
                other => return Err(choice(other, "watch or poll")),
            };
            Ok(())
        },
    },
    Setting {
        key: "poll-period",
        shape: Shape::One,
        value: "DURATION",
        default: "10s",
        also: &[own("LISTEN_POLL_PERIOD")],
        help: "Time between two listings with --listen poll.",
        reloads: false,
        set: |config, words| duration(one(words)).map(|period| config.poll_period = period),
    },
];
