// The picture: interfaces in lanes, with the ways between them.

import { link, curveBumpX } from "d3-shape";
import type { TargetedKeyboardEvent } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

import { type Interface, ownerText } from "./api";
import { StateSign } from "./dot";
import { bytes, rate as perSecond } from "./format";
import { DEVICE, type Edge, inView, layout, type Placed, ROW } from "./layout";
import type { Links } from "./links";
import type { Rates } from "./rates";
import { useView } from "./view";

/** Colours of networks in the style sheet. */
const COLOURS = 8;
const WIDTH = { nic: 150, bridge: 150, end: 124 };
const SPACE = 46;
const EDGE = 16;
/** Least width of the namespaces. */
const LEAST = 340;
/** Pixels above and below the visible part that are drawn as well. */
const AROUND = 240;

export interface Props {
  shown: Interface[];
  links: Links;
  rates: Rates;
  networks: string[];
  selected: number | null;
  select: (id: number) => void;
}

interface Columns {
  nic: number;
  bridge: number;
  end: number;
  netns: number;
  netnsWidth: number;
  width: number;
}

function columnsFor(steps: number, room: number): Columns {
  const bridge = EDGE + WIDTH.nic + SPACE;
  const end = bridge + (WIDTH.bridge + SPACE / 2) * steps + SPACE / 2;
  const netns = end + WIDTH.end + SPACE;
  const netnsWidth = Math.max(LEAST, Math.min(560, room - netns - EDGE));
  return { nic: EDGE, bridge, end, netns, netnsWidth, width: netns + netnsWidth + EDGE };
}

function left(at: Placed, columns: Columns): number {
  return columns[at.lane] + (at.lane === "bridge" ? at.step * (WIDTH.bridge + SPACE / 2) : 0);
}

function right(at: Placed, columns: Columns): number {
  return left(at, columns) + (at.lane === "netns" ? columns.netnsWidth : WIDTH[at.lane]);
}

export function networkClass(network: string | null | undefined, networks: string[]): string {
  const at = network ? networks.indexOf(network) : -1;
  return at < 0 ? "no-network" : `network-${at % COLOURS}`;
}

export function Flow({ id, rates }: { id: number; rates: Rates }) {
  const rate = rates.of(id);
  if (!rate) return <span class="flow" />;
  if (rate.dropped + rate.errors > 0) {
    const [value, word] = rate.dropped > 0 ? [rate.dropped, "drops"] : [rate.errors, "errors"];
    return <span class="flow lost">{perSecond(value, `${word}/s`)}</span>;
  }
  if (rate.receive + rate.transmit < 1) return <span class="flow idle">idle</span>;
  return (
    <span class="flow">
      <Arrow sign="↓" word="receives" />{bytes(rate.receive)} <Arrow sign="↑" word="sends" />{bytes(rate.transmit)}
    </span>
  );
}

/** A sign to see and a word to hear. */
function Arrow({ sign, word }: { sign: string; word: string }) {
  return (
    <>
      <span aria-hidden="true">{sign}</span>
      <span class="hidden">{word} </span>
    </>
  );
}

export function Picture({ shown, links, rates, networks, selected, select }: Props) {
  const [scroller, view] = useView();
  const [focused, setFocused] = useState<number | null>(null);
  const wantsFocus = useRef<number | null>(null);
  const picture = useMemo(() => layout(shown, links), [shown, links]);

  const columns = columnsFor(picture.steps, view.width);
  const [top, bottom] = [view.top - AROUND, view.top + view.height + AROUND];
  const middles = inView(picture.devices, view.top, view.top + view.height - HEAD);
  const y = (at: Placed) => middles.get(at.of.id) ?? at.y;
  const isDrawn = (at: Placed) => y(at) > top && y(at) < bottom;
  const drawn = [...picture.placed.values()].filter(isDrawn);
  const stop = drawn.find(({ of }) => of.id === (focused ?? selected)) ?? drawn[0];

  // After a key, the next element is there only once it is drawn.
  useLayoutEffect(() => {
    if (wantsFocus.current === null) return;
    const element = scroller.current?.querySelector<HTMLElement>(`[data-id="${wantsFocus.current}"]`);
    if (!element) return;
    wantsFocus.current = null;
    element.focus({ preventScroll: true });
  });

  const goTo = (next: Placed | undefined) => {
    const element = scroller.current;
    if (!next || !element) return;
    setFocused(next.of.id);
    wantsFocus.current = next.of.id;
    const at = y(next);
    if (at < element.scrollTop + 2 * DEVICE) element.scrollTop = at - 2 * DEVICE;
    if (at > element.scrollTop + element.clientHeight - 3 * DEVICE) {
      element.scrollTop = at - element.clientHeight + 3 * DEVICE;
    }
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLDivElement>) => {
    const id = Number((event.target as HTMLElement).dataset["id"]);
    const here = picture.placed.get(id);
    const next = here && neighbour(here, event.key, [...picture.placed.values()], picture.edges, y);
    if (!next) return;
    event.preventDefault();
    goTo(next);
  };

  const path = link<Edge, [number, number]>(curveBumpX)
    .source((edge) => [right(edge.from, columns), y(edge.from)])
    .target((edge) => [left(edge.to, columns), y(edge.to)]);
  const way = new Set<number>();
  const chosen = selected === null ? undefined : picture.placed.get(selected);
  if (chosen) links.way(chosen.of, way);
  const item = (at: Placed) => (
    <Item key={at.of.id} at={at} y={y(at)} columns={columns} rates={rates} networks={networks}
      isSelected={at.of.id === selected} isStop={at === stop} select={select} focus={setFocused} />
  );

  return (
    <div class="map" ref={scroller} role="group" aria-label="Map of the node" onKeyDown={onKeyDown}>
      <div class="lanes" style={{ width: `${columns.width}px` }}>
        <span style={{ left: `${columns.nic}px` }}>NICs</span>
        <span style={{ left: `${columns.bridge}px` }}>Bridges and devices</span>
        <span style={{ left: `${columns.end}px` }}>Host ends</span>
        <span style={{ left: `${columns.netns}px` }}>Namespaces by owner</span>
      </div>
      <div class="picture" style={{ width: `${columns.width}px`, height: `${picture.height}px` }}>
        <svg class="edges" width={columns.width} height={picture.height} aria-hidden="true">
          {picture.edges.filter(({ from, to }) => isDrawn(to) && isDrawn(from)).map((edge) => (
            <path key={`${edge.from.of.id}-${edge.to.of.id}`} d={path(edge) ?? ""} style={{ strokeWidth: thickness(edge, rates) }}
              class={[networkClass(networkOf(edge), networks), way.has(edge.to.of.id) && way.has(edge.from.of.id) ? "way" : "",
                (rates.of(edge.to.of.id)?.dropped ?? 0) > 0 ? "losing" : ""].join(" ")} />
          ))}
        </svg>
        {picture.boxes.filter((box) => box.top + box.height > top && box.top < bottom).map((box) => (
          <div key={box.key} class="box" style={{ left: `${columns.netns}px`, top: `${box.top}px`, width: `${columns.netnsWidth}px`, height: `${box.height}px` }}>
            {box.heading && <div class="owner">{box.heading}</div>}
            <div class="title">
              <bdi>{box.title}</bdi>
              <bdi class="netns">{box.netns === box.title ? "" : box.netns}</bdi>
            </div>
          </div>
        ))}
        {drawn.map(item)}
      </div>
    </div>
  );
}

/** Height of the headings of the lanes. */
const HEAD = 34;

/** Wider where more flows. */
function thickness({ to }: Edge, rates: Rates): number {
  const rate = rates.of(to.of.id);
  const flow = rate ? rate.receive + rate.transmit : 0;
  return 1.2 + Math.max(0, Math.log10(flow + 1) - 1.5) * 0.7;
}

function networkOf({ to }: Edge): string | null {
  return to.of.network;
}

interface ItemProps {
  at: Placed;
  y: number;
  columns: Columns;
  rates: Rates;
  networks: string[];
  isSelected: boolean;
  isStop: boolean;
  select: (id: number) => void;
  focus: (id: number) => void;
}

function Item({ at, y, columns, rates, networks, isSelected, isStop, select, focus }: ItemProps) {
  const { of, lane } = at;
  const height = lane === "nic" || lane === "bridge" ? DEVICE : ROW - 4;
  const inset = lane === "netns" ? 8 : 0;
  const style = {
    left: `${left(at, columns) + inset}px`,
    top: `${y - height / 2}px`,
    width: `${right(at, columns) - left(at, columns) - 2 * inset}px`,
    height: `${height}px`,
  };
  const addresses = of.addresses.filter((address) => !address.startsWith("fe80:"));
  const detail = lane === "netns" ? addresses.map((address) => address.split("/")[0]).join(" ") : (of.kind ?? "NIC");
  return (
    <button type="button" class={`item ${lane} ${networkClass(of.network, networks)}`} style={style} data-id={of.id}
      aria-pressed={isSelected} tabIndex={isStop ? 0 : -1} onClick={() => select(of.id)} onFocus={() => focus(of.id)}>
      <StateSign of={of} />
      <bdi class="name">{of.name}</bdi>
      <span class="hidden"> of {ownerText(of)}, {of.oper_state}, {of.network ?? "no network"}, </span>
      {lane !== "end" && <bdi class="detail">{detail}</bdi>}
      {lane !== "end" && <Flow id={of.id} rates={rates} />}
    </button>
  );
}

/** The next interface for an arrow key: along the lane, to the network, or away from the network. */
function neighbour(here: Placed, key: string, all: Placed[], edges: Edge[], y: (at: Placed) => number): Placed | undefined {
  const nearest = (found: Placed[]) => found.sort((a, b) => Math.abs(y(a) - y(here)) - Math.abs(y(b) - y(here)))[0];
  const lane = () => all.filter(({ lane }) => lane === here.lane).sort((a, b) => y(a) - y(b) || a.step - b.step);
  switch (key) {
    case "ArrowLeft":
      return nearest(edges.filter(({ to }) => to === here).map(({ from }) => from));
    case "ArrowRight":
      return nearest(edges.filter(({ from }) => from === here).map(({ to }) => to));
    case "ArrowDown":
    case "ArrowUp": {
      const column = lane();
      return column[column.indexOf(here) + (key === "ArrowDown" ? 1 : -1)];
    }
    case "Home":
      return lane()[0];
    case "End":
      return lane().at(-1);
    default:
      return undefined;
  }
}
