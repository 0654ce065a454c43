// Everything the page knows, kept up to date by /v1/watch and /v1/counters.

import { type Counters, type Interface, type Line, netnsKey } from "./api";
import { PAUSE, Rates } from "./rates";

/** Events that are kept for the list. */
const EVENTS = 200;
/** Time within which a deletion and an addition of the same link are a new name, in milliseconds. */
const RENAMED = 1000;
/** Longest time between a change and its picture, in milliseconds. */
const LONGEST_REST = 500;
/** Time until another attempt, in milliseconds. */
const RETRY = 2000;

export type State = "connecting" | "live" | "cut";

export interface Happened {
  seq: number;
  time: string;
  event: "Added" | "Updated" | "Deleted";
  interface: Interface;
  /** Changed fields with their values before and after. */
  changes: string[];
}

export class Store {
  state: State = "connecting";
  node = "";
  version = "";
  interfaces = new Map<number, Interface>();
  events: Happened[] = [];
  rates = new Rates();
  /** Counts changes of interfaces, so that a layout is made once per change. */
  revision = 0;
  /** Ids after a new name by the ids before: the agent calls an interface with a new name another one. */
  private successors = new Map<number, number>();
  /** The last deletion of each link, by namespace and ifindex. */
  private deleted = new Map<string, Happened>();
  private synced = false;
  private listeners = new Set<() => void>();
  private isAnnounced = false;
  /** Time before which changes wait. */
  private rest = 0;

  /** Calls back after changes, at most once per frame, and less often where a frame takes longer to draw. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The id under which an interface lives on. */
  present(id: number): number {
    const next = this.successors.get(id);
    return next === undefined ? id : this.present(next);
  }

  start(): void {
    this.watch();
    void this.readCounters();
  }

  private announce(): void {
    if (this.isAnnounced) return;
    this.isAnnounced = true;
    const draw = () => {
      this.isAnnounced = false;
      const start = performance.now();
      this.listeners.forEach((listener) => listener());
      // The timer runs after layout and paint: two thirds of the time are left for the visitor's keys and scrolling.
      setTimeout(() => (this.rest = performance.now() + Math.min(2 * (performance.now() - start), LONGEST_REST)));
    };
    // A hidden page has no frames.
    if (document.hidden) setTimeout(draw, LONGEST_REST);
    else setTimeout(() => requestAnimationFrame(draw), this.rest - performance.now());
  }

  private watch(): void {
    const source = new EventSource("/v1/watch");
    this.synced = false;
    let fresh = new Map<number, Interface>();
    for (const kind of ["Added", "Updated", "Deleted", "Synced", "Restart"]) {
      source.addEventListener(kind, (message) => {
        const line = JSON.parse((message as MessageEvent<string>).data) as Line;
        if (line.event === "Restart") return this.again(source);
        // Until everything is there, the last picture stays.
        if (this.synced) this.take(line);
        else if (line.event === "Synced") this.replace(fresh);
        else if (line.interface && line.event !== "Deleted") fresh.set(line.interface.id, line.interface);
        else if (line.interface) fresh.delete(line.interface.id);
        this.announce();
      });
    }
    source.addEventListener("open", () => {
      this.state = "live";
      void this.readNode();
      this.announce();
    });
    source.addEventListener("error", () => {
      this.state = "cut";
      // The browser connects again and resumes, but not after an answer without events, such as 410.
      if (source.readyState === EventSource.CLOSED) this.again(source);
      this.announce();
    });
  }

  private again(source: EventSource): void {
    source.close();
    setTimeout(() => this.watch(), RETRY);
  }

  private replace(fresh: Map<number, Interface>): void {
    const isOtherRun = this.interfaces.size > 0;
    if (isOtherRun) this.rates.clear();
    this.successors.clear();
    this.deleted.clear();
    this.interfaces = fresh;
    this.synced = true;
    this.state = "live";
    this.revision += 1;
  }

  private take(line: Line): void {
    const { interface: now, event } = line;
    if (!now || (event !== "Added" && event !== "Updated" && event !== "Deleted")) return;
    const before = this.interfaces.get(now.id);
    if (event === "Deleted") this.interfaces.delete(now.id);
    else this.interfaces.set(now.id, now);
    const happened: Happened = { seq: line.seq, time: line.time ?? "", event, interface: now, changes: [] };
    if (before && event === "Updated") happened.changes = differences(before, now);
    if (event === "Added") this.connect(happened);
    if (event === "Deleted") this.deleted.set(linkKey(now), happened);
    this.events.unshift(happened);
    for (const old of this.events.splice(EVENTS)) {
      if (old.event !== "Deleted") continue;
      this.rates.remove(old.interface.id);
      this.successors.delete(old.interface.id);
      if (this.deleted.get(linkKey(old.interface)) === old) this.deleted.delete(linkKey(old.interface));
    }
    this.revision += 1;
  }

  /** Where a link only has a new name, what is known of the link goes on. */
  private connect(added: Happened): void {
    const { interface: now } = added;
    const gone = this.deleted.get(linkKey(now));
    if (!gone || Date.parse(added.time) - Date.parse(gone.time) > RENAMED) return;
    const { interface: before } = gone;
    if (before.mac !== now.mac || before.kind !== now.kind || before.name === now.name) return;
    added.changes = [`name: ${before.name} → ${now.name}`];
    this.successors.set(before.id, now.id);
    this.rates.move(before.id, now.id);
  }

  private async readNode(): Promise<void> {
    const answer = await fetch("/v1/node").catch(() => null);
    if (!answer?.ok) return;
    const { node, version } = (await answer.json()) as { node: string; version: string };
    this.node = node;
    this.version = version;
    this.announce();
  }

  private async readCounters(): Promise<void> {
    for (;;) {
      const answer = await fetch("/v1/counters").catch(() => null);
      if (answer?.ok) {
        const counters = (await answer.json().catch(() => null)) as Counters | null;
        if (counters) this.rates.add(counters);
        this.announce();
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

/** A link while it exists, whatever its name. */
function linkKey(of: Interface): string {
  return `${netnsKey(of.netns)}/${of.ifindex}`;
}

/** The fields that differ, in the form `name: eth0 → net1`. */
function differences(before: Interface, now: Interface): string[] {
  const text = (value: unknown): string => {
    if (value === null || value === "") return "none";
    if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(" ");
    if (typeof value !== "object") return String(value);
    const { namespace, name, netns } = value as { namespace?: string; name?: string; netns?: string };
    return [namespace ?? netns, name].filter(Boolean).join("/") || JSON.stringify(value);
  };
  const fields = Object.keys(now) as (keyof Interface)[];
  const changed = fields.filter((field) => JSON.stringify(before[field]) !== JSON.stringify(now[field]));
  return changed.map((field) => `${field.replace("_", " ")}: ${text(before[field])} → ${text(now[field])}`);
}
