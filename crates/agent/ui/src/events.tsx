// Events as they happen, the newest first.

import type { VNode } from "preact";

import { ownerText } from "./api";
import { clock } from "./format";
import type { Happened } from "./store";

export interface Props {
  events: Happened[];
  select: (id: number) => void;
}

export function Events({ events, select }: Props) {
  return (
    <section class="events" aria-labelledby="events-title">
      <h2 id="events-title">Events</h2>
      {events.length === 0 && <p>Nothing has changed since the page was opened.</p>}
      <ol tabIndex={0} aria-label="Events, the newest first">
        {events.map((one) => row(one, select))}
      </ol>
    </section>
  );
}

const rows = new WeakMap<Happened, VNode>();

/** An event never changes: the same row is not compared again. */
function row(one: Happened, select: (id: number) => void): VNode {
  const known = rows.get(one);
  if (known) return known;
  const made = (
    <li key={`${one.seq} ${one.interface.id}`} class={one.event.toLowerCase()}>
      <time dateTime={one.time}>{clock(one.time)}</time>
      <span class="kind">{one.event}</span>
      <button type="button" onClick={() => select(one.interface.id)}>
        <bdi>{one.interface.name}</bdi> <small><bdi>{ownerText(one.interface)}</bdi></small>
      </button>
      {one.changes.map((change) => <bdi key={change} class="change">{change}</bdi>)}
    </li>
  );
  rows.set(one, made);
  return made;
}
