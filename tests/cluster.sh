#!/usr/bin/env bash
# Tests the chart and the agent on a real Kubernetes, from outside.
#
#   tests/cluster.sh                    starts the lab beside the checkout (../shared/lab, or
#                                       $NETNS_AGENT_LAB; needs root), builds the image, tests, stops the lab
#   KUBECONFIG=… NETNS_AGENT_IMAGE=registry/repository:tag tests/cluster.sh
#                                       any cluster, such as kind, that has or can pull the image. OTLP_HOST
#                                       must be an address of this machine that the nodes reach.
#   tests/cluster.sh --can-run          checks the requirements, and prints a missing one
#
# Tests that need the node itself (the kernel's counters, killing the agent, stopping the API server) run in the
# lab only. The lab does not cover arm64, cgroup v2, CRI-O and several nodes.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
lab=${NETNS_AGENT_LAB:-$root/../shared/lab}
bin=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/bin
fail() { echo "cluster.sh: $*" >&2; exit 1; }

why_not() {
  if [ -n "${KUBECONFIG-}" ]; then
    [ -n "${NETNS_AGENT_IMAGE-}" ] || echo "KUBECONFIG is set, but NETNS_AGENT_IMAGE does not name the image to test"
    [ -n "${OTLP_HOST-}" ] || echo "KUBECONFIG is set, but OTLP_HOST does not name an address of this machine that nodes reach"
  elif [ ! -x "$lab/up.sh" ]; then
    echo "KUBECONFIG is not set, and there is no lab at $lab (set NETNS_AGENT_LAB)"
  elif [ "$(id -u)" != 0 ]; then
    echo "the lab needs root; set KUBECONFIG to use a cluster instead"
  elif [ -e "${LAB_DIR:-${TMPDIR:-/tmp}/k8s-lab}/pid" ] && [ -z "${KEEP_LAB-}" ]; then
    echo "a lab is in use at ${LAB_DIR:-${TMPDIR:-/tmp}/k8s-lab}; KEEP_LAB=1 uses the running lab and keeps it"
  fi
}
reason=$(why_not)
if [ "${1-}" = --can-run ]; then
  [ -z "$reason" ] || { echo "$reason"; exit 1; }
  exit 0
fi
[ -z "$reason" ] || fail "$reason"

work=$(mktemp -d "${TMPDIR:-/tmp}/netns-agent-cluster.XXXXXX")
cleanup=()
finish() {
  local i
  for ((i = ${#cleanup[@]} - 1; i >= 0; i--)); do eval "${cleanup[i]}" || true; done
  rm -rf "$work"
}
trap finish EXIT
export PATH=$bin:$PATH WORK=$work

if [ -z "${KUBECONFIG-}" ]; then
  "$root/tests/tools.sh" cluster
  export KUBECTL=$bin/kubectl LAB_SECOND_NET=1 LAB_MAX_PODS=${LAB_MAX_PODS:-150}
  . "$lab/common.sh"
  "$lab/build-k8s.sh"
  if [ ! -e "$LAB_DIR/pid" ]; then
    [ -n "${KEEP_LAB-}" ] || cleanup+=('"$lab/down.sh" --all')
    "$lab/up.sh"
  fi
  export KUBECONFIG=$LAB_DIR/admin.kubeconfig LAB_DIR OTLP_HOST=$NODE_IP BUSYBOX_IMAGE=$REGISTRY/busybox:1
  agent=${NETNS_AGENT_BINARY:-$root/target/release/netns-agent}
  [ -n "${NETNS_AGENT_BINARY-}" ] || (cd "$root" && cargo build --release --locked -p netns-agent)
  # As in the Dockerfile's last stage: the program and its shared libraries.
  files=(--file "$agent:/usr/local/bin/netns-agent")
  for library in $(ldd "$agent" | grep -o '/[^ ]*' | sort -u); do files+=(--file "$library:$library"); done
  export NETNS_AGENT_IMAGE=$REGISTRY/netns-agent:test
  python3 "$lab/image.py" "$work/image.tar" "$NETNS_AGENT_IMAGE" "${files[@]}" \
    --env PATH=/usr/local/bin:/bin --env "$(sed -n 's/^ENV //p' "$root/Dockerfile")" --entrypoint /usr/local/bin/netns-agent --cmd run
  lab_ctr images import "$work/image.tar" >/dev/null
  # Receivers: OTLP in the node's network like a collector on the node, Prometheus outside the cluster.
  otlp_at=(nsenter --net="$NS/node.net")
  prometheus_at=(nsenter --net="$NS/lan.net")
else
  "$root/tests/tools.sh"
  export BUSYBOX_IMAGE=${BUSYBOX_IMAGE:-docker.io/library/busybox:1.36}
  otlp_at=() prometheus_at=()
fi
export PROMETHEUS_AT="${prometheus_at[*]}" OTLP_PORT=${OTLP_PORT:-24317} PROMETHEUS_PORT=${PROMETHEUS_PORT:-29090}

"${otlp_at[@]}" rotel-agent start --exporter blackhole --debug-log metrics --debug-log-verbosity detailed \
  --otlp-grpc-endpoint "$OTLP_HOST:$OTLP_PORT" --otlp-http-endpoint "$OTLP_HOST:$((OTLP_PORT + 1))" \
  >"$work/otlp.log" 2>&1 </dev/null &
cleanup+=("kill $!")

echo '[]' >"$work/targets.json"
# As the Prometheus operator configures it from the chart's PodMonitor.
helm template netns-agent "$root/charts/netns-agent" --set podMonitor.enabled=true,admin.host=0.0.0.0 -s templates/monitors.yaml |
  python "$root/tests/cluster/monitor.py" >"$work/prometheus.yaml"
"${prometheus_at[@]}" prometheus --config.file="$work/prometheus.yaml" --storage.tsdb.path="$work/tsdb" \
  --web.listen-address="127.0.0.1:$PROMETHEUS_PORT" >"$work/prometheus.log" 2>&1 </dev/null &
cleanup+=("kill $!")

python -u "$root/tests/cluster/main.py" "$@"
