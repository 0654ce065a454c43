// The table: the same interfaces as the picture, one row each.

import { useMemo, useState } from "preact/hooks";

import { type Interface, ownerText, place } from "./api";
import { StateSign } from "./dot";
import { bytes, rate as perSecond } from "./format";
import type { Rate, Rates } from "./rates";
import { useView } from "./view";

const ROW = 30;
/** Rows above and below the visible ones that are drawn as well. */
const AROUND = 12;

interface Column {
  heading: string;
  text: (of: Interface, rate: Rate | null) => string;
  /** Sorted by this, largest first, where it is a number. */
  value?: (rate: Rate | null) => number;
}

const COLUMNS: Column[] = [
  { heading: "Interface", text: (of) => of.name },
  { heading: "Owner", text: ownerText },
  { heading: "State", text: (of) => of.oper_state },
  { heading: "Received", text: (_, rate) => (rate ? bytes(rate.receive) : ""), value: (rate) => rate?.receive ?? -1 },
  { heading: "Sent", text: (_, rate) => (rate ? bytes(rate.transmit) : ""), value: (rate) => rate?.transmit ?? -1 },
  { heading: "Drops", text: (_, rate) => (rate ? perSecond(rate.dropped, "/s") : ""), value: (rate) => rate?.dropped ?? -1 },
  { heading: "Addresses", text: (of) => of.addresses.join(" ") },
  { heading: "Network", text: (of) => of.network ?? "" },
  { heading: "Netns", text: (of) => place(of.netns) },
];

export interface Props {
  shown: Interface[];
  rates: Rates;
  selected: number | null;
  select: (id: number) => void;
}

export function Table({ shown, rates, selected, select }: Props) {
  const [scroller, view] = useView();
  const [order, setOrder] = useState({ column: 1, isReversed: false });

  const sorted = useMemo(() => sort(shown, rates, order), [shown, order, COLUMNS[order.column]?.value ? rates.revision : 0]);
  const first = Math.max(0, Math.floor(view.top / ROW) - AROUND);
  const last = Math.min(sorted.length, Math.ceil((view.top + view.height) / ROW) + AROUND);
  const choose = (column: number) =>
    setOrder((now) => ({ column, isReversed: now.column === column ? !now.isReversed : false }));
  const arrow = (n: number) => (n !== order.column ? "" : isDescending(order) ? " ↓" : " ↑");
  return (
    <div class="table" ref={scroller} tabIndex={0} role="region" aria-label="Table of interfaces">
      <table aria-rowcount={sorted.length + 1}>
        <thead>
          <tr aria-rowindex={1}>
            {COLUMNS.map(({ heading, value }, n) => (
              <th key={heading} scope="col" class={value ? "number" : ""}
                aria-sort={n !== order.column ? undefined : isDescending(order) ? "descending" : "ascending"}>
                <button type="button" onClick={() => choose(n)}>{heading}{arrow(n)}</button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {first > 0 && <tr style={{ height: `${first * ROW}px` }} aria-hidden="true" />}
          {sorted.slice(first, last).map((of, n) => {
            const rate = rates.of(of.id);
            return (
              <tr key={of.id} aria-rowindex={first + n + 2} aria-selected={of.id === selected}
                class={`${of.id === selected ? "selected" : ""} ${rate && rate.dropped > 0 ? "losing" : ""}`} onClick={() => select(of.id)}>
                {COLUMNS.map(({ heading, text, value }, column) =>
                  column === 0 ? (
                    <th key={heading} scope="row">
                      <button type="button" data-id={of.id} onClick={() => select(of.id)}><bdi>{of.name}</bdi></button>
                    </th>
                  ) : (
                    <td key={heading} class={value ? (heading === "Drops" ? "number drops" : "number") : ""}>
                      {heading === "State" && <StateSign of={of} />}
                      <bdi>{text(of, rate)}</bdi>
                    </td>
                  ))}
              </tr>
            );
          })}
          {last < sorted.length && <tr style={{ height: `${(sorted.length - last) * ROW}px` }} aria-hidden="true" />}
        </tbody>
      </table>
    </div>
  );
}

interface Order {
  column: number;
  isReversed: boolean;
}

function isDescending({ column, isReversed }: Order): boolean {
  return (COLUMNS[column]?.value !== undefined) !== isReversed;
}

/** Made once: `localeCompare` with options makes a collator in each call. */
const COLLATOR = new Intl.Collator(undefined, { numeric: true });

function sort(shown: Interface[], rates: Rates, order: Order): Interface[] {
  const column = COLUMNS[order.column];
  if (!column) return shown;
  const { text, value } = column;
  const sign = isDescending(order) ? -1 : 1;
  if (value) return [...shown].sort((a, b) => sign * (value(rates.of(a.id)) - value(rates.of(b.id))) || a.id - b.id);
  const texts = shown.map((of) => ({ of, text: text(of, null) }));
  texts.sort((a, b) => sign * COLLATOR.compare(a.text, b.text) || a.of.id - b.of.id);
  return texts.map(({ of }) => of);
}
