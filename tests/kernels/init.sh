#!/bin/busybox sh
# Process 1 of the virtual machine: mounts the machine's files, runs the suites, and powers off.
busybox mount -t devtmpfs none /dev
busybox mount -t proc none /proc
busybox mount -t sysfs none /sys
# The unified hierarchy with all controllers, as systemd mounts it.
busybox mount -t cgroup2 none /sys/fs/cgroup
for controller in $(busybox cat /sys/fs/cgroup/cgroup.controllers); do
  echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
done
. /settings
for module in virtio_pci 9pnet_virtio 9p overlay veth bridge tun dummy macvlan vxlan; do
  busybox modprobe "$module" 2>/dev/null
done
busybox mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,ro,msize=262144 machine /machine || busybox poweroff -f
# Files can be written, and are lost at the end.
busybox mount -t tmpfs -o size=2g none /top
busybox mkdir /top/upper /top/work /top/root
busybox mount -t overlay -o lowerdir=/machine,upperdir=/top/upper,workdir=/top/work none /top/root || busybox poweroff -f
for dir in dev proc sys; do busybox mount --rbind "/$dir" "/top/root/$dir"; done
busybox mkdir -p /top/root/dev/pts /top/root/dev/shm
busybox mount -t devpts none /top/root/dev/pts
busybox mount -t tmpfs none /top/root/dev/shm
busybox mount -t tmpfs none /top/root/run
busybox ip link set lo up
# The kernel refuses user namespaces inside a chroot, so the new root takes the place of the old.
cd /top/root
busybox mount --move . /
now() { busybox awk '{print int($1 * 1000)}' proc/uptime; }
began=$(now)
eval "$load"
spent=$(($(now) - began))
# Time limits of the tests grow by this factor, rounded up; a machine as fast as the host keeps them.
slow=$(((spent * 10 / (speed + 1) + 9) / 10))
[ "$slow" -ge 1 ] || slow=1
echo "kernel: $(busybox uname -r) $(busybox uname -m) slow=$slow"
busybox awk '{print "suite: " $1 " selected"}' /suites
while read -r suite binary filter; do
  began=$(now)
  echo "suite: $suite"
  busybox env -i PATH="$path" HOME="$home" LANG=C.UTF-8 NETNS_TESTBED_SLOW="$slow" RUST_BACKTRACE=0 \
    busybox chroot . /bin/sh -c "cd '$root' && exec '$binary' $filter" </dev/null 2>&1
  echo "suite: $suite ended with $? after $((($(now) - began) / 1000)) s"
done </suites
busybox poweroff -f
