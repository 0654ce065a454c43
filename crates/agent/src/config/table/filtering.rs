//! Settings: filters of interfaces.

use iface_core::PreferredError;

use super::{choice, one, own};
use crate::config::filter::ExcludeHostEnds;
use crate::config::kind::{Setting, Shape};

/// Filters of interfaces.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "interfaces",
        shape: Shape::Patterns,
        value: "NAME|/REGEX/",
        default: "",
        also: &[own("INTERFACES")],
        help: "Only these interfaces, by name, alternative name or /regular expression/; empty: all.",
        reloads: true,
        set: |config, words| {
            config.filter_words.interfaces = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "exclude-interfaces",
        shape: Shape::Patterns,
        value: "NAME|/REGEX/",
        default: "lo",
        also: &[own("EXCLUDE_INTERFACES")],
        help: "Exclude these interfaces, by name, alternative name or /regular expression/; wins over --interfaces.",
        reloads: true,
        set: |config, words| {
            config.filter_words.exclude = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "interface-ips",
        shape: Shape::List,
        value: "CIDR",
        default: "",
        also: &[own("INTERFACE_IPS")],
        help: "Only interfaces with an address in one of these networks; cannot be combined with the filters by name.",
        reloads: true,
        set: |config, words| {
            config.filter_words.ips = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "include-netns",
        shape: Shape::Patterns,
        value: "NAME|/REGEX/",
        default: "",
        also: &[],
        help: "Only interfaces of these network namespaces, by name, inode, cookie or /regular expression/; host is \
               the host's; empty: all.",
        reloads: true,
        set: |config, words| {
            config.filter_words.netns = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "exclude-netns",
        shape: Shape::Patterns,
        value: "NAME|/REGEX/",
        default: "",
        also: &[],
        help: "Exclude the interfaces of these network namespaces, by name, inode, cookie or /regular expression/; \
               wins over --include-netns.",
        reloads: true,
        set: |config, words| {
            config.filter_words.exclude_netns = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "include-owner",
        shape: Shape::Patterns,
        value: "OWNER|/REGEX/",
        default: "",
        also: &[],
        help: "Only interfaces of these owners, as tables show them: shop/web-0, docker/web, shop/* for a whole \
               Kubernetes namespace, or /regular expression/; empty: all, and those without an owner.",
        reloads: true,
        set: |config, words| {
            config.filter_words.owners = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "exclude-owner",
        shape: Shape::Patterns,
        value: "OWNER|/REGEX/",
        default: "",
        also: &[],
        help: "Exclude the interfaces of these owners: shop/web-0, docker/web, kube-system/* or /regular expression/; \
               wins over --include-owner.",
        reloads: true,
        set: |config, words| {
            config.filter_words.exclude_owners = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "exclude-host-ends",
        shape: Shape::One,
        value: "metrics|true|false",
        default: "metrics",
        also: &[],
        help: "Exclude host ends, the interfaces of the host whose peer is in another namespace, whatever their \
               names. metrics: exclude from metrics each host end whose peer is not excluded by name, as both have \
               the same traffic; true: exclude host ends from every output; false: exclude none.",
        reloads: true,
        set: |config, words| {
            config.filter_words.host_ends = match one(words) {
                "metrics" => ExcludeHostEnds::Metrics,
                "true" => ExcludeHostEnds::Everywhere,
                "false" => ExcludeHostEnds::Nowhere,
                other => return Err(choice(other, "metrics, true or false")),
            };
            Ok(())
        },
    },
    Setting {
        key: "preferred-interface-for-mac-prefix",
        shape: Shape::One,
        value: "PREFIX=NAME,…",
        default: "",
        also: &[own("PREFERRED_INTERFACE_FOR_MAC_PREFIX")],
        help: "Interface that a lookup prefers among several with the same index, by MAC prefix, \
               like 0a:58=eth0,0b59=if2.",
        reloads: false,
        set: |config, words| {
            config.preferred = one(words).parse().map_err(|error: PreferredError| error.to_string())?;
            Ok(())
        },
    },
];
