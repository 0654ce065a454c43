// Neighbours of interfaces: the next one on the way to the network.

import { type Interface, place } from "./api";

/** Kinds that are ports of a bridge, never uplinks of a bridge. */
const PORTS = new Set(["veth", "netkit", "vxcan", "tun"]);

/** Names of namespaces are unique at one time, so that a name and an ifindex find an interface. */
function key(netns: string, ifindex: number): string {
  return `${ifindex}/${netns}`;
}

export class Links {
  private byKey = new Map<string, Interface>();
  private members = new Map<string, Interface[]>();
  private uppers = new Map<number, Interface[]>();
  /** The host's PCI devices. */
  private functions = new Map<string, Interface>();

  constructor(readonly interfaces: Iterable<Interface>) {
    for (const one of interfaces) {
      this.byKey.set(key(place(one.netns), one.ifindex), one);
      if (one.netns.host && one.parent?.bus === "pci") this.functions.set(one.parent.device, one);
    }
    for (const one of interfaces) {
      const lower = this.lower(one);
      if (lower) this.uppers.set(lower.id, [...(this.uppers.get(lower.id) ?? []), one]);
      if (one.master === null) continue;
      const master = key(place(one.netns), one.master);
      const members = this.members.get(master);
      if (members) members.push(one);
      else this.members.set(master, [one]);
    }
  }

  peer(of: Interface): Interface | undefined {
    return of.peer ? this.byKey.get(key(of.peer.netns, of.peer.ifindex)) : undefined;
  }

  master(of: Interface): Interface | undefined {
    return of.master === null ? undefined : this.byKey.get(key(place(of.netns), of.master));
  }

  /** The interface below, for a virtual function in another namespace the NIC that it is a part of. */
  lower(of: Interface): Interface | undefined {
    if (of.lower?.netns != null) return this.byKey.get(key(of.lower.netns, of.lower.ifindex));
    const physical = of.parent?.physical_function;
    return physical && !of.netns.host ? this.functions.get(physical) : undefined;
  }

  ports(of: Interface): Interface[] {
    return this.members.get(key(place(of.netns), of.ifindex)) ?? [];
  }

  upper(of: Interface): Interface[] {
    return this.uppers.get(of.id) ?? [];
  }

  /** Whether a bridge reaches the network through the interface. */
  private isUplink(of: Interface): boolean {
    return of.kind === null || !PORTS.has(of.kind);
  }

  /** The interfaces that are one step nearer to the network. */
  nearer(of: Interface): Interface[] {
    const peer = this.peer(of);
    if (peer && !of.netns.host && peer.netns.host) return [peer];
    const lower = this.lower(of);
    if (lower) return [lower];
    const master = this.master(of);
    if (master && !this.isUplink(of)) return [master];
    return this.ports(of).filter((port) => this.isUplink(port));
  }

  /** All neighbours with their relation, for the details. */
  around(of: Interface): [string, Interface][] {
    const found: [string, Interface | undefined][] = [
      ["peer", this.peer(of)],
      [this.master(of)?.kind ?? "master", this.master(of)],
      ["on", this.lower(of)],
      ...this.ports(of).map((port): [string, Interface] => ["port", port]),
      ...this.upper(of).map((upper): [string, Interface] => ["carries", upper]),
    ];
    return found.filter((pair): pair is [string, Interface] => pair[1] !== undefined);
  }

  /** The interface and everything between the interface and the network. */
  way(of: Interface, into: Set<number>): void {
    if (into.has(of.id)) return;
    into.add(of.id);
    for (const next of this.nearer(of)) this.way(next, into);
  }
}
