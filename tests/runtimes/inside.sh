#!/usr/bin/env bash
# inside.sh ROOT RUNTIME: makes a node of namespaces of the caller's own, and tests the runtime in ROOT. The runtime changes its
# root to ROOT, and shares /run with the agent, as a runtime of the host does.
set -euo pipefail
root=$1
mount --make-rprivate /
# runc remounts the root of the runtime, so the root is a mount.
mount --bind "$root" "$root"
mount -t tmpfs node /run
mkdir -p /run/netns "$root"/{run,proc,sys,dev,tmp,box,etc/cni/net.d,etc/containers}
mount --make-rshared /run
mount --rbind /run "$root/run"
for dir in proc sys dev; do mount --rbind "/$dir" "$root/$dir"; done
# A script of a package makes the link, and none ran.
[ -L "$root/var/run" ] || { rm -rf "$root/var/run"; ln -s /run "$root/var/run"; }
# What the last run left.
for dir in var/lib tmp box etc/cni/net.d etc/containers; do mount -t tmpfs node "$root/$dir"; done
# containerd copies both files for each pod.
touch "$root"/etc/{hosts,resolv.conf}
ip link set lo up
ip link add nic type veth peer name switch
ip link set nic up
ip link set switch up
# The runtime's root need not have the caller's folder for temporary files.
unset TMPDIR
here=$(dirname "$0")
PYTHONPATH=$here/../quick-start exec python -u "$here/$2.py" "$root"
