// Objects of the admin server, as docs/api.md describes them; fields that the page does not use are left out.

export interface Netns {
  name: string | null;
  place: string;
  dev: number;
  inode: number;
  generation: number;
  host: boolean;
}

export interface Pod {
  namespace: string;
  name: string;
  source: string;
  end: "pod" | "host";
  leaked: boolean;
  workload: { kind: string; name: string } | null;
}

/** A container outside Kubernetes. */
export interface Container {
  runtime: string;
  name: string;
  ids: string[];
  image: string | null;
  end: "container" | "host";
}

/** A device of Dynamic Resource Allocation. */
export interface Device {
  claim: string;
  driver: string;
  pool: string;
  name: string;
}

export interface Interface {
  id: number;
  netns: Netns;
  ifindex: number;
  name: string;
  mac: string | null;
  kind: string | null;
  oper_state: string;
  admin_up: boolean;
  mtu: number;
  addresses: string[];
  peer: { netns: string; ifindex: number; name: string } | null;
  master: number | null;
  lower: { netns: string | null; ifindex: number } | null;
  alias: string | null;
  alt_names: string[];
  underlay: { local: string | null; remote: string | null } | null;
  parent: { bus: string; device: string; physical_function: string | null } | null;
  pod: Pod | null;
  container: Container | null;
  device: Device | null;
  network: string | null;
  since: string;
}

export interface Line {
  seq: number;
  event: "Added" | "Updated" | "Deleted" | "Synced" | "Heartbeat" | "Restart";
  time?: string;
  changed?: string[];
  interface?: Interface;
}

export interface Direction {
  bytes: number;
  packets: number;
  errors: number;
  dropped: number;
}

export interface Reading {
  id: number;
  receive: Direction;
  transmit: Direction;
}

export interface Counters {
  time: string;
  interfaces: Reading[];
}

/** Name of the namespace in `peer.netns` and `lower.netns`; a namespace without a name has its nsid. */
export function place(netns: Netns): string {
  return netns.place;
}

/** Identifies a namespace in one run of the agent. */
export function netnsKey(netns: Netns): string {
  return `${netns.dev}/${netns.inode}/${netns.generation}`;
}

/** Whether the interface is in the namespace of its pod or container, not the peer outside. */
export function isInside(of: Interface): boolean {
  return of.pod?.end === "pod" || of.container?.end === "container";
}

/** The pod's Kubernetes namespace, or all containers of a runtime; the space keeps the two apart. */
export function groupOf(of: Interface): string | null {
  return of.pod?.namespace ?? (of.container && `${of.container.runtime} containers`);
}

/** The owner of an interface as people say it: a pod, a container, the host, or a namespace without an owner. */
export function ownerText(of: Interface): string {
  if (of.pod) return `${of.pod.namespace}/${of.pod.name}`;
  if (of.container) return `${of.container.runtime}/${of.container.name}`;
  return place(of.netns);
}

/** Whether traffic can flow: drivers without a state, like tun's, stay `unknown`. */
export function isUp(of: Interface): boolean {
  return of.oper_state === "up" || (of.oper_state === "unknown" && of.admin_up);
}
