#!/bin/sh
# root.sh ROOT COMMAND...: runs the command with ROOT in place of the root, in a mount namespace of the caller's. Not by
# chroot: the kernel makes no user namespace for a process inside one.
set -e
cd "$1"
shift
mkdir -p old
pivot_root . old
# The mounts below /run are the node's too: an unmount must stay here.
/bin/busybox mount --make-rprivate /old
/bin/busybox umount -l /old
exec "$@"
