// The last ten minutes of rates of every interface, from readings of /v1/counters.

import type { Counters, Reading } from "./api";

/** Milliseconds between two readings. */
export const PAUSE = 2000;
/** Readings that are kept: ten minutes. */
const KEPT = 300;

export interface Rate {
  receive: number;
  transmit: number;
  /** Dropped packets per second, in both directions. */
  dropped: number;
  errors: number;
}

/** Columns of a chart: times in seconds, then values, null where nothing is known. */
export type Column = (number | null)[];

export interface History {
  times: number[];
  receive: Column;
  transmit: Column;
  dropped: Column;
  errors: Column;
}

/** Values of one interface in the slots of the readings, four per slot. */
interface Ring {
  values: Float64Array;
  last: Reading;
  rate: Rate | null;
}

const FIELDS = 4;

export class Rates {
  private times: number[] = [];
  private count = 0;
  /** Counts the readings. */
  revision = 0;
  private rings = new Map<number, Ring>();

  /** Takes a reading; a counter that decreased counts from zero. */
  add(counters: Counters): void {
    const time = Date.parse(counters.time) / 1000;
    const before = this.times[(this.count - 1 + KEPT) % KEPT];
    const seconds = before === undefined ? 0 : time - before;
    // The server hands out the same reading to everyone who asks within a second.
    if (before !== undefined && seconds <= 0) return;
    const slot = this.count % KEPT;
    this.revision += 1;
    this.times[slot] = time;
    this.count += 1;
    const present = new Set<number>();
    for (const reading of counters.interfaces) {
      present.add(reading.id);
      const ring = this.rings.get(reading.id);
      if (!ring) {
        this.rings.set(reading.id, { values: new Float64Array(KEPT * FIELDS).fill(NaN), last: reading, rate: null });
        continue;
      }
      ring.rate = rateBetween(ring.last, reading, seconds);
      ring.values.set([ring.rate.receive, ring.rate.transmit, ring.rate.dropped, ring.rate.errors], slot * FIELDS);
      ring.last = reading;
    }
    for (const [id, ring] of this.rings) {
      if (present.has(id)) continue;
      ring.rate = null;
      ring.values.fill(NaN, slot * FIELDS, (slot + 1) * FIELDS);
    }
  }

  of(id: number): Rate | null {
    return this.rings.get(id)?.rate ?? null;
  }

  total(id: number): Reading | null {
    return this.rings.get(id)?.last ?? null;
  }

  /** An interface goes on under another id. */
  move(from: number, to: number): void {
    const ring = this.rings.get(from);
    if (!ring || this.rings.has(to)) return;
    this.rings.delete(from);
    this.rings.set(to, ring);
  }

  /** Forgets an interface. */
  remove(id: number): void {
    this.rings.delete(id);
  }

  /** Forgets everything: another run of the agent numbers interfaces anew. */
  clear(): void {
    this.rings.clear();
    this.times = [];
    this.count = 0;
    this.revision += 1;
  }

  history(id: number): History {
    const history: History = { times: [], receive: [], transmit: [], dropped: [], errors: [] };
    const values = this.rings.get(id)?.values;
    for (let n = Math.max(0, this.count - KEPT); n < this.count; n += 1) {
      const slot = n % KEPT;
      const value = (field: number) => {
        const found = values?.[slot * FIELDS + field];
        return found === undefined || Number.isNaN(found) ? null : found;
      };
      history.times.push(this.times[slot] ?? 0);
      history.receive.push(value(0));
      history.transmit.push(value(1));
      history.dropped.push(value(2));
      history.errors.push(value(3));
    }
    return history;
  }
}

function rateBetween(before: Reading, now: Reading, seconds: number): Rate {
  const each = (a: number, b: number) => (b < a ? b : b - a) / seconds;
  return {
    receive: each(before.receive.bytes, now.receive.bytes),
    transmit: each(before.transmit.bytes, now.transmit.bytes),
    dropped: each(before.receive.dropped, now.receive.dropped) + each(before.transmit.dropped, now.transmit.dropped),
    errors: each(before.receive.errors, now.receive.errors) + each(before.transmit.errors, now.transmit.errors),
  };
}
