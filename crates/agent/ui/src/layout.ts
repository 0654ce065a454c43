// Places of interfaces in four lanes: NICs, bridges, host ends, namespaces by owner. Pure.

import { cluster, hierarchy, type HierarchyPointNode } from "d3-hierarchy";

import { groupOf, type Interface, isInside, netnsKey, ownerText, place } from "./api";
import type { Links } from "./links";

export const ROW = 26;
export const DEVICE = 42;
const HEAD = 26;
const HEADING = 30;
const GAP = 12;
/** Longest chain of devices; a chain can be a loop when events are out of order. */
const DEPTH = 16;

export type Lane = "nic" | "bridge" | "end" | "netns";

/** A network namespace with its interfaces. */
export interface Box {
  key: string;
  title: string;
  netns: string;
  /** The owner's Kubernetes namespace or runtime, above the first of its boxes. */
  heading: string | null;
  rows: Interface[];
  top: number;
  height: number;
}

export interface Placed {
  of: Interface;
  lane: Lane;
  /** Step to the right within the lane, for a device on a device of the same lane. */
  step: number;
  /** Vertical centre. */
  y: number;
  /** A device stays in view while something in this range is in view. */
  range: [number, number] | null;
}

export interface Edge {
  from: Placed;
  to: Placed;
}

export interface Layout {
  height: number;
  steps: number;
  boxes: Box[];
  placed: Map<number, Placed>;
  devices: Placed[];
  edges: Edge[];
}

/** A node of the hierarchy: a device of the host, an end without a known peer, or a box. */
interface Node {
  size: number;
  of: Interface | null;
  box: Box | null;
  children: Node[];
}

function laneOf(of: Interface, links: Links): Lane {
  if (!of.netns.host) return "netns";
  if (isNic(of, links)) return "nic";
  return PAIRS.has(of.kind ?? "") && !links.peer(of)?.netns.host ? "end" : "bridge";
}

const PAIRS = new Set(["veth", "netkit"]);

/** Hardware; a node that is a container itself has a veth with an address instead, into a namespace without a name. */
function isNic(of: Interface, links: Links): boolean {
  const isAddressed = of.addresses.some((address) => !address.startsWith("fe80:"));
  const leadsOut = !of.peer || links.peer(of)?.netns.name === null;
  return of.kind === null || (PAIRS.has(of.kind) && of.netns.host && leadsOut && of.master === null && isAddressed);
}

function boxes(shown: Interface[]): Box[] {
  const found = new Map<string, Box>();
  for (const one of shown) {
    if (one.netns.host) continue;
    const key = netnsKey(one.netns);
    let box = found.get(key);
    if (!box) {
      box = { key, title: ownerText(one), netns: place(one.netns), heading: null, rows: [], top: 0, height: 0 };
      found.set(key, box);
    }
    if (isInside(one)) box.title = ownerText(one);
    box.rows.push(one);
  }
  const last = (one: Interface) => (one.name === "lo" ? 1 : 0);
  for (const box of found.values()) box.rows.sort((a, b) => last(a) - last(b) || a.ifindex - b.ifindex);
  return [...found.values()];
}

/** The group of a box's owner, or where the boxes without an owner are. */
function groupOfBox(box: Box): string {
  const owned = box.rows.find(isInside);
  return (owned && groupOf(owned)) ?? "no owner";
}

class Builder {
  private nodes = new Map<number, Node>();
  readonly root: Node = { size: 0, of: null, box: null, children: [] };
  private lanes = new Map<number, Lane>();

  constructor(
    private links: Links,
    private shown: Interface[],
  ) {
    for (const one of shown) this.lanes.set(one.id, laneOf(one, links));
  }

  lane(of: Interface): Lane {
    return this.lanes.get(of.id) ?? "bridge";
  }

  /** The nearest device on the way to the network, host ends left out. */
  private deviceAbove(of: Interface): Interface | null {
    let above = this.links.nearer(of)[0];
    for (let depth = 0; above && depth < DEPTH; depth += 1) {
      if (this.nodes.has(above.id)) return above;
      above = this.links.nearer(above)[0];
    }
    return null;
  }

  /** Second members of bonds stand beside the first one. */
  companions(): Interface[] {
    const later: Interface[] = [];
    for (const one of this.shown) {
      if (one.netns.host) later.push(...this.links.nearer(one).slice(1));
    }
    return later.filter((one) => this.lanes.has(one.id) && one.netns.host);
  }

  build(all: Box[]): void {
    const beside = new Set(this.companions().map((one) => one.id));
    const inBoxes = new Set(all.flatMap((box) => box.rows.map((row) => row.id)));
    for (const one of this.shown) {
      const lane = this.lane(one);
      const peer = this.links.peer(one);
      if (lane === "netns" || beside.has(one.id) || (lane === "end" && peer && inBoxes.has(peer.id))) continue;
      this.nodes.set(one.id, { size: (lane === "end" ? ROW : DEVICE) + GAP, of: one, box: null, children: [] });
    }
    const parents = new Map<number, Interface | null>();
    for (const [id, node] of this.nodes) if (node.of) parents.set(id, this.deviceAbove(node.of));
    for (const [id, node] of this.nodes) {
      const above = this.isLoop(id, parents) ? null : parents.get(id);
      (above ? this.nodes.get(above.id) : this.root)?.children.push(node);
    }
    for (const box of all) {
      const above = box.rows.map((row) => this.deviceAbove(row)).find((device) => device !== null);
      const size = HEAD + box.rows.length * ROW + GAP;
      (above ? this.nodes.get(above.id) : this.root)?.children.push({ size, of: null, box, children: [] });
    }
  }

  private isLoop(id: number, parents: Map<number, Interface | null>): boolean {
    let above = parents.get(id);
    for (let depth = 0; above; depth += 1) {
      if (above.id === id || depth > DEPTH) return true;
      above = parents.get(above.id);
    }
    return false;
  }
}

/** NICs first, then devices that carry something, loopback last, boxes by owner. */
function order(a: Node, b: Node, lane: (of: Interface) => Lane): number {
  const rank = (node: Node) => {
    if (node.of?.name === "lo") return 4;
    if (node.of && lane(node.of) === "nic") return 0;
    if (node.box) return 3;
    return node.children.length > 0 ? 1 : 2;
  };
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  if (a.box && b.box) {
    const groups = groupOfBox(a.box).localeCompare(groupOfBox(b.box));
    return groups || a.box.title.localeCompare(b.box.title) || a.box.key.localeCompare(b.box.key);
  }
  return (a.of?.ifindex ?? 0) - (b.of?.ifindex ?? 0);
}

/** Gives each group of boxes a heading, which makes its first box higher. */
function headings(leaves: Node[]): void {
  let before: string | null = null;
  for (const { box } of leaves) {
    const group: string | null = box ? groupOfBox(box) : null;
    if (box && group !== before) box.heading = group;
    before = group;
  }
  for (const node of leaves) if (node.box?.heading) node.size += HEADING;
}

export function layout(shown: Interface[], links: Links): Layout {
  const all = boxes(shown);
  const builder = new Builder(links, shown);
  builder.build(all);
  const tree = hierarchy<Node>(builder.root).sort((a, b) => order(a.data, b.data, (of) => builder.lane(of)));
  headings(tree.leaves().map((leaf) => leaf.data));
  const apart = (a: HierarchyPointNode<Node>, b: HierarchyPointNode<Node>) => (a.data.size + b.data.size) / 2;
  const points = cluster<Node>().nodeSize([1, 1]).separation(apart)(tree);
  const leaves = points.leaves();
  const first = leaves[0];
  const shift = first ? first.data.size / 2 + GAP - first.x : 0;
  const result: Layout = { height: 2 * GAP, steps: 1, boxes: all, placed: new Map(), devices: [], edges: [] };
  const put = (of: Interface, y: number, step: number, range: [number, number] | null) => {
    const placed = { of, lane: builder.lane(of), step, y, range };
    result.placed.set(of.id, placed);
    return placed;
  };
  for (const leaf of leaves) {
    const middle = leaf.x + shift;
    result.height = Math.max(result.height, middle + leaf.data.size / 2 + GAP);
    if (leaf.data.box) placeBox(leaf.data.box, middle - leaf.data.size / 2, links, put);
  }
  points.eachBefore((point) => {
    const { of } = point.data;
    if (!of) return;
    const lane = builder.lane(of);
    const above = point.parent?.data.of;
    const step = above && lane === "bridge" && builder.lane(above) === "bridge" ? stepOf(result, above) + 1 : 0;
    result.steps = Math.max(result.steps, step + 1);
    const y = point.x + shift - (point.children ? 0 : GAP / 2);
    put(of, y, step, point.children ? rangeBelow(point, shift) : null);
  });
  for (const one of builder.companions()) placeBeside(one, links, result, put);
  result.devices = [...result.placed.values()].filter(({ lane }) => lane === "nic" || lane === "bridge");
  result.edges = edges(result, links);
  for (const { from, to } of result.edges) if (from.lane !== "end" && from.lane !== "netns") reach(from, to.y);
  return result;
}

type Put = (of: Interface, y: number, step: number, range: [number, number] | null) => Placed;

function stepOf(result: Layout, of: Interface): number {
  return result.placed.get(of.id)?.step ?? 0;
}

/** A box and the host ends beside its interfaces. */
function placeBox(box: Box, top: number, links: Links, put: Put): void {
  box.top = top + (box.heading ? HEADING : 0);
  box.height = HEAD + box.rows.length * ROW;
  box.rows.forEach((row, n) => {
    const y = box.top + HEAD + (n + 0.5) * ROW;
    put(row, y, 0, null);
    const peer = links.peer(row);
    if (peer?.netns.host) put(peer, y, 0, null);
  });
}

/** From the first to the last leaf below. */
function rangeBelow(point: HierarchyPointNode<Node>, shift: number): [number, number] {
  const leaves = point.leaves();
  const at = (leaf: HierarchyPointNode<Node> | undefined) =>
    leaf?.data.box ? leaf.data.box.top + HEAD + ROW / 2 : (leaf?.x ?? 0) + shift;
  const last = leaves.at(-1);
  return [at(leaves[0]), Math.max(at(last), last?.data.box ? last.data.box.top + last.data.box.height - ROW / 2 : 0)];
}

function placeBeside(one: Interface, links: Links, result: Layout, put: Put): void {
  const master = links.master(one);
  const sibling = master && links.nearer(master)[0];
  const beside = sibling && result.placed.get(sibling.id);
  if (beside && !result.placed.has(one.id)) put(one, beside.y + DEVICE + GAP / 2, beside.step, beside.range);
}

function edges(result: Layout, links: Links): Edge[] {
  const found: Edge[] = [];
  for (const to of result.placed.values()) {
    for (const nearer of links.nearer(to.of)) {
      const from = result.placed.get(nearer.id);
      if (from) found.push({ from, to });
    }
  }
  return found;
}

/** A device stays in view while an interface on the device is in view. */
function reach(device: Placed, y: number): void {
  const [from, to] = device.range ?? [device.y, device.y];
  device.range = [Math.min(from, y), Math.max(to, y)];
}

/** Vertical centres of the devices while this part of the picture is in view, without overlaps. */
export function inView(devices: Placed[], top: number, bottom: number): Map<number, number> {
  const columns = new Map<string, { id: number; y: number }[]>();
  for (const { of, lane, step, y, range } of devices) {
    let at = y;
    if (range) {
      const [from, to] = [Math.max(range[0], top), Math.min(range[1], bottom)];
      const middle = (from + to) / 2;
      at = from <= to ? middle + (y - (range[0] + range[1]) / 2 > DEVICE / 2 ? DEVICE + GAP / 2 : 0) : y;
      if (from > to) at = range[1] < top ? range[1] : range[0];
    }
    const column = columns.get(`${lane}${step}`) ?? [];
    columns.set(`${lane}${step}`, column);
    column.push({ id: of.id, y: at });
  }
  const result = new Map<number, number>();
  for (const column of columns.values()) {
    column.sort((a, b) => a.y - b.y);
    let least = DEVICE / 2 + GAP;
    for (const { id, y } of column) {
      const free = Math.max(y, least);
      result.set(id, free);
      least = free + DEVICE + GAP / 2;
    }
  }
  return result;
}
