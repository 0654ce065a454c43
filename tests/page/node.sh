#!/usr/bin/env bash
# A node with pods, in namespaces that the caller made (unshare --user --map-root-user --net --mount):
#
#   tests/page/node.sh make N               NIC, bridges, tunnel, N pods of a shop, and a few more
#   tests/page/node.sh pod NUMBER NS NAME   adds a pod
#   tests/page/node.sh delete NUMBER        deletes a pod
#   tests/page/node.sh lose NUMBER COUNT    sends frames to a pod that the pod drops
#   tests/page/node.sh talk NUMBER COUNT    sends datagrams of 1,000 bytes from a pod to the node
#   tests/page/node.sh inside NUMBER COMMAND...
#   tests/page/node.sh churn COUNT          changes 50 of the first COUNT host ends and makes or deletes a pod ten times a
#                                           second, until standard input ends
#
# CNI results go to /run/cni.
set -euo pipefail

# Without a subshell: a node of 500 pods would start thousands.
netns() { printf ${2:+-v "$2"} 'cni-5b1f0a00-0000-4000-8000-%012d' "$1"; }
inside() { ip netns exec "$(netns "$1")" "${@:2}"; }

# result NUMBER NAMESPACE NAME NETWORK INTERFACE ADDRESS: all names are made of letters, digits and dashes.
result() {
  local sandbox
  netns "$1" sandbox
  printf '{"kind":"cniCacheV1","containerId":"%s","ifName":"%s","networkName":"%s","cniArgs":[["K8S_POD_NAMESPACE","%s"],["K8S_POD_NAME","%s"]],"result":{"cniVersion":"1.0.0","interfaces":[{"name":"%s","sandbox":"/run/netns/%s"}],"ips":[{"interface":0,"address":"%s"}]}}' \
    "$3-$1" "$5" "$4" "$2" "$3" "$5" "$sandbox" "$6" >"/run/cni/.part-$1"
  mv "/run/cni/.part-$1" "/run/cni/$4-$3-$1-$5"
}

# links NUMBER: lines for ip -batch that make the namespace and the pair of a pod.
links() {
  local name
  netns "$1" name
  echo "netns add $name"
  echo "link add veth$1 type veth peer name eth0 netns $name"
  echo "link set veth$1 master cni0 up"
}

# settle NUMBER NAMESPACE NAME: address and CNI result, after the namespace, as a container runtime does: an older result
# is about another namespace of the same name.
settle() {
  local name address=10.244.$(($1 / 250)).$(($1 % 250 + 2))
  netns "$1" name
  ip -n "$name" -batch - <<END
link set lo up
link set eth0 up
address add $address/16 dev eth0
END
  result "$1" "$2" "$3" cbr0 eth0 "$address/16"
}

pod() { # NUMBER NAMESPACE NAME
  links "$1" | ip -batch -
  settle "$@"
}

# storage NUMBER NAMESPACE NAME: a second network of the pod, a macvlan on the node's NIC.
storage() {
  local name
  name=$(netns "$1")
  ip link add mac"$1" link eth0 netns "$name" type macvlan mode bridge
  ip -n "$name" -batch - <<END
link set mac$1 name net1 up
address add 192.168.7.$(($1 % 250 + 2))/24 dev net1
END
  result "$1" "$2" "$3" storage net1 "192.168.7.$(($1 % 250 + 2))/24"
}

# docker NUMBER NETNS NAME: a container as Docker records it, on the pods' bridge.
docker() {
  local dir=/run/containers/f00df00df00d
  ip -batch - <<END
netns add $2
link add veth$1 type veth peer name eth0 netns $2
link set veth$1 master cni0 up
END
  ip -n "$2" link set eth0 up
  mkdir "$dir"
  printf '{"ID":"f00df00df00d","Name":"/%s","Config":{"Image":"registry:2"},"NetworkSettings":{"SandboxKey":"/var/run/docker/netns/%s"}}' \
    "$3" "$2" >"$dir/config.v2.json"
}

make() {
  local n
  mkdir -p /run/netns /run/cni /run/containers
  ip -batch - <<END
link set lo up
link add eth0 type veth peer name switch
link set switch up
link set eth0 up
address add 192.0.2.10/24 dev eth0
link add cni0 type bridge
link set cni0 up
address add 10.244.255.1/16 dev cni0
link add flannel.1 type vxlan id 1 dev eth0 dstport 8472
link set flannel.1 up
link add br-lab type bridge
link set br-lab up
END
  # The far end of the NIC is out of sight, as a switch is.
  unshare --net sleep infinity >/dev/null 2>&1 &
  echo $! >/run/switch.pid
  # Before unshare has made its namespace, the link would stay here.
  until [ "$(readlink "/proc/$!/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do read -rt 0.01 <> <(:) || :; done
  ip link set switch netns "$(cat /run/switch.pid)"
  nsenter --net --target="$(cat /run/switch.pid)" ip link set switch up
  for ((n = 0; n < $1; n++)); do links "$n"; done | ip -batch -
  for ((n = 0; n < $1; n++)); do settle "$n" shop "web-$n"; done
  pod 900 data postgres-0
  storage 900 data postgres-0
  pod 901 data postgres-1
  storage 901 data postgres-1
  pod 902 kube-system coredns-7d9f
  pod 903 monitoring prometheus-0
  docker 904 0a1b2c3d4e5f registry
  for n in red blue; do
    ip netns add "$n"
    ip link add "lab-$n" type veth peer name eth0 netns "$n"
    ip link set "lab-$n" master br-lab up
    ip -n "$n" link set eth0 up
  done
  ip -n blue link set eth0 down
  ip -n red link set eth0 alias 'uplink of the lab'
}

lose() { # frames of a protocol that nobody listens to
  python3 - "veth$1" "$2" <<'END'
import socket, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
for _ in range(int(sys.argv[2])):
    out.send(b"\xff" * 6 + b"\x02\0\0\0\0\1" + b"\x88\xb5" + b"\0" * 46)
END
}

talk() {
  inside "$1" python3 - "$2" <<'END'
import socket, sys
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[1])):
    try:
        out.sendto(b"\0" * 1000, ("10.244.255.1", 9))
    except ConnectionRefusedError:
        pass
END
}

churn() {
  local n round=0 made=
  while :; do
    for ((n = 0; n < 50; n++)); do echo "link set veth$(((round * 50 + n) % $1)) alias round-$round"; done | ip -batch -
    # Another number each time: the host end of a deleted pod goes a little later.
    if [ "$made" ]; then delete "$made"; made=; else made=$((950 + round % 40)); pod "$made" shop passing-0; fi
    round=$((round + 1))
    # The pace of the events; the end of standard input ends the loop.
    read -rt 0.1 || [ $? -gt 128 ] || break
  done
  [ ! "$made" ] || delete "$made"
}

delete() {
  rm -f /run/cni/*-"$1"-eth0
  ip netns delete "$(netns "$1")"
}

case $1 in
make | pod | lose | talk | storage | inside | churn | delete) "$@" ;;
*) echo "node.sh: $1 is not make, pod, delete, lose, talk, storage, inside or churn" >&2; exit 2 ;;
esac
