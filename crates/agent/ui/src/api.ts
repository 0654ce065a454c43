// Objects of the admin server, as docs/api.md describes them; fields that the page does not use are left out.

export interface Netns {
  name: string | null;
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
  workload: { kind: string; name: string } | null;
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
  pod: Pod | null;
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

/** Name of the namespace in `peer.netns` and `lower.netns`. */
export function place(netns: Netns): string {
  return netns.host ? "host" : (netns.name ?? "");
}

/** Identifies a namespace in one run of the agent. */
export function netnsKey(netns: Netns): string {
  return `${netns.dev}/${netns.inode}/${netns.generation}`;
}

/** The pod whose namespace the interface is in. */
export function podInside(of: Interface): Pod | null {
  return of.pod?.end === "pod" ? of.pod : null;
}

/** The owner of an interface as people say it: a pod, the host, or a namespace without a pod. */
export function ownerText(of: Interface): string {
  if (of.pod) return `${of.pod.namespace}/${of.pod.name}`;
  return of.netns.host ? "host" : (of.netns.name ?? "unnamed");
}

/** Whether traffic can flow: drivers without a state, like tun's, stay `unknown`. */
export function isUp(of: Interface): boolean {
  return of.oper_state === "up" || (of.oper_state === "unknown" && of.admin_up);
}
