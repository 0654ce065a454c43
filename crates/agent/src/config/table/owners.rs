//! Settings: sources of owners.

use std::path::PathBuf;

use super::{absolute, one, own, some};
use crate::config::kind::{Setting, Shape};
use crate::config::value::switch;

/// Sources of owners.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "cni-cache-dir",
        shape: Shape::List,
        value: "DIR",
        default: "/var/lib/cni/results",
        also: &[],
        help: "Directory of libcni's cached CNI results, which name the pod of each namespace; may be repeated, and \
               need not exist. multus/results (multus) and cache/results (cri-dockerd) beside the directory are read \
               as well. Empty: not used.",
        reloads: false,
        set: |config, words| {
            let dirs = words.iter().filter(|dir| !dir.is_empty());
            config.cni_cache_dirs = dirs.map(absolute).collect::<Result<_, _>>()?;
            Ok(())
        },
    },
    Setting {
        key: "container-dir",
        shape: Shape::List,
        value: "DIR",
        default: "/var/lib/docker/containers,/var/lib/containers/storage/overlay-containers,/run/systemd/machines,/var/lib/lxc,\
                  /run/containerd/io.containerd.runtime.v2.task/k8s.io,\
                  /run/containerd/io.containerd.runtime.v2.task/default",
        also: &[],
        help: "Directory with records of containers: of Docker, podman, CRI-O, systemd-machined, LXC, or containerd's tasks; \
               they name containers that are no pods, and pods without a CNI result. May be repeated, and need not \
               exist. Empty: not used.",
        reloads: false,
        set: |config, words| {
            let dirs = words.iter().filter(|dir| !dir.is_empty());
            config.container_dirs = dirs.map(absolute).collect::<Result<_, _>>()?;
            Ok(())
        },
    },
    Setting {
        key: "watch-pods",
        shape: Shape::One,
        value: "true|false",
        default: "true",
        also: &[],
        help: "Watch the pods of this node at the API server, if there is one: a kubeconfig or a pod's service account. \
               If false, owners come from the CNI cache alone.",
        reloads: false,
        set: |config, words| switch(one(words)).map(|on| config.watch_pods = on),
    },
    Setting {
        key: "watch-resource-claims",
        shape: Shape::One,
        value: "true|false",
        default: "true",
        also: &[],
        help: "Watch the ResourceClaims of all namespaces where pods are watched, if the API server has and shows them: \
               they name the devices behind interfaces of DRA drivers. The chart sets false by default.",
        reloads: false,
        set: |config, words| switch(one(words)).map(|on| config.watch_resource_claims = on),
    },
    Setting {
        key: "node-name",
        shape: Shape::One,
        value: "NAME",
        default: "",
        also: &[own("NODE_NAME")],
        help: "Name of this node in Kubernetes: selects the pods to list, and becomes the resource attribute \
               k8s.node.name.",
        reloads: false,
        set: |config, words| {
            config.node_name = some(words);
            Ok(())
        },
    },
    Setting {
        key: "kubeconfig",
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[],
        help: "Kubeconfig for the API server; in a pod, the service account is the default. Without either, \
               owners come from the CNI cache alone.",
        reloads: false,
        set: |config, words| {
            config.kubeconfig = some(words).map(PathBuf::from);
            Ok(())
        },
    },
    Setting {
        key: "pod-labels",
        shape: Shape::List,
        value: "GLOB",
        default: "",
        also: &[],
        help: "Pod labels to export as attributes k8s.pod.label.KEY, like app.kubernetes.io/*.",
        reloads: true,
        set: |config, words| {
            config.pod_labels = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "pod-annotations",
        shape: Shape::List,
        value: "GLOB",
        default: "",
        also: &[],
        help: "Pod annotations to export as attributes k8s.pod.annotation.KEY.",
        reloads: true,
        set: |config, words| {
            config.pod_annotations = words.to_vec();
            Ok(())
        },
    },
];
