//! The pod in the path of a cgroup.
//!
//! The kubelet puts all processes of a pod below `kubepods-burstable-pod6b1c_….slice` (systemd) or
//! `kubepods/burstable/pod6b1c-…` (cgroupfs), with the pod's uid.

/// The uid of the pod in a text of `/proc/PID/cgroup`, `cgroups(7)`: a line per hierarchy, `0::/kubepods.slice/…`.
#[must_use]
pub fn pod_of_process(text: &str) -> Option<String> {
    text.lines().find_map(|line| pod_of(line.splitn(3, ':').nth(2)?))
}

/// The uid of the pod in the path of a cgroup.
///
/// The outermost pod counts, as a pod may make cgroups of any name below its own. So may a user below
/// `user@UID.service`, where no pod is found.
#[must_use]
pub fn pod_of(path: &str) -> Option<String> {
    path.split('/').take_while(|segment| *segment != "user.slice").find_map(|segment| {
        let segment = segment.strip_suffix(".slice").unwrap_or(segment);
        let uid = segment.strip_prefix("pod").or_else(|| Some(segment.rsplit_once("-pod")?.1))?;
        is_uid(uid).then(|| uid.replace('_', "-"))
    })
}

/// A UUID, with underscores in the names of systemd; a static pod's uid is a hash without dashes.
fn is_uid(text: &str) -> bool {
    let is_digit = |(at, byte): (usize, u8)| match (text.len(), at) {
        (36, 8 | 13 | 18 | 23) => matches!(byte, b'-' | b'_'),
        _ => byte.is_ascii_hexdigit(),
    };
    matches!(text.len(), 32 | 36) && text.bytes().enumerate().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "6b1c0d6c-2b1a-7777-8888-99990d6c2b1a";
    const OTHER: &str = "26a5a60e-766c-44c4-8125-5b68aecf097d";
    const HASH: &str = "5f3c2d1e5f3c2d1e5f3c2d1e5f3c2d1e";

    fn underscored(uid: &str) -> String {
        uid.replace('-', "_")
    }

    /// Both drivers, all classes of service, other roots of the kubelet, and paths relative to a cgroup namespace.
    #[test]
    fn paths_of_both_drivers_name_pods() {
        let (uid, other) = (underscored(UID), underscored(OTHER));
        for path in [
            &format!("/kubepods/pod{UID}"),
            &format!("/kubepods/burstable/pod{UID}/{HASH}"),
            &format!("/kubepods.slice/kubepods-pod{uid}.slice/cri-containerd-{HASH}.scope"),
            &format!("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid}.slice"),
            &format!("/docker/{HASH}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{uid}.slice/x"),
            &format!("/my-pods.slice/my-pods-kubepods.slice/my-pods-kubepods-pod{uid}.slice"),
            &format!("/../../kubepods-pod{uid}.slice/crio-{HASH}.scope"),
            &format!("/../pod{UID}/{HASH}"),
            // A kubelet inside the pod, and a pod that makes cgroups.
            &format!("/kubepods/pod{UID}/{HASH}/kubepods/pod{OTHER}"),
            &format!("/kubepods.slice/kubepods-pod{uid}.slice/x/user.slice/kubepods-pod{other}.slice"),
        ] {
            assert_eq!(pod_of(path).as_deref(), Some(UID), "{path}");
        }
        assert_eq!(pod_of(&format!("/kubepods/besteffort/pod{HASH}/x")).as_deref(), Some(HASH));
    }

    #[test]
    fn other_paths_name_none() {
        let uid = underscored(UID);
        for path in [
            "",
            "/",
            "/kubepods.slice",
            "/kubepods/pod",
            "/kubepods/pod1234",
            "/system.slice/kubelet.service",
            &format!("/machine.slice/machine-libpod_pod_{HASH}{HASH}.slice/libpod-{HASH}.scope"),
            &format!("/kubepods/{UID}"),
            &format!("/kubepods/pod{UID}0"),
            &format!("/kubepods/pod{}", UID.replace('-', "0")),
            &format!("/user.slice/user-1000.slice/user@1000.service/kubepods-pod{uid}.slice/x"),
            &format!("/../../../user.slice/user-1000.slice/user@1000.service/pod{UID}"),
        ] {
            assert_eq!(pod_of(path), None, "{path}");
        }
    }

    /// cgroup v1 has a line per hierarchy, and the unified hierarchy may be unused beside.
    #[test]
    fn any_hierarchy_names_the_pod() {
        for (text, expected) in [
            (&*format!("0::/kubepods/pod{UID}/c\n"), Some(UID)),
            (&format!("12:pids:/kubepods/besteffort/pod{UID}/abc\n1:name=systemd:/a\n0::/\n"), Some(UID)),
            (&format!("1:name=a:b:/pod{UID}\n"), Some(UID)),
            (&format!("0::/system.slice/a:pod{UID}\n"), None),
            ("0::/system.slice/kubelet.service\n", None),
            ("no cgroup", None),
            ("", None),
        ] {
            assert_eq!(pod_of_process(text).as_deref(), expected, "{text}");
        }
    }
}
