// The page: a map of the node's network interfaces, and everything that happens to them.

import { render } from "preact";
import { useEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";

import { groupOf, type Interface } from "./api";
import { Details } from "./details";
import { Events } from "./events";
import { EVERYTHING, type Filter, isEverything, matcher, values } from "./filter";
import { Links } from "./links";
import { Picture } from "./picture";
import { type State, Store } from "./store";
import { Table } from "./table";
import { Toolbar, type View } from "./toolbar";

const store = new Store();

const WORDS: Record<State, string> = { connecting: "connecting …", live: "live", cut: "no connection, trying again" };

function App() {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const [filter, setFilter] = useState<Filter>(EVERYTHING);
  const [view, setView] = useState<View>("map");
  const [chosen, setSelected] = useState<number | null>(null);
  const selected = chosen === null ? null : store.present(chosen);
  const lastSelected = useRef<Interface | null>(null);
  useEffect(() => store.subscribe(() => redraw(undefined)), []);

  const { interfaces, rates, revision } = store;
  const all = useMemo(() => [...interfaces.values()], [revision]);
  const links = useMemo(() => new Links(all), [all]);
  const groups = useMemo(() => values(all, groupOf), [all]);
  const networks = useMemo(() => values(all, (of) => of.network), [all]);
  // The rates decide only where the filter asks for losses.
  const found = useMemo(() => all.filter(matcher(filter, rates)), [all, filter, filter.state === "losing" ? rates.revision : 0]);
  // The picture also has the way from each found interface to the network.
  const pictured = useMemo(() => {
    if (isEverything(filter)) return all;
    const way = new Set<number>();
    for (const one of found) links.way(one, way);
    return all.filter((one) => way.has(one.id));
  }, [all, found, links]);

  const present = selected === null ? undefined : interfaces.get(selected);
  const past = store.events.find((one) => one.interface.id === selected)?.interface;
  if (present ?? past) lastSelected.current = present ?? past ?? null;
  const shown = selected === null ? null : lastSelected.current;
  const node = store.node || "this node";
  document.title = store.node ? `${store.node}: network interfaces` : "netns-agent";

  return (
    <>
      <header class="top">
        <h1><bdi>{node}</bdi></h1>
        <p class="count">{found.length} of {all.length} interfaces</p>
        <p class={`state ${store.state}`} role="status">{WORDS[store.state]}</p>
        <Toolbar filter={filter} setFilter={setFilter} view={view} setView={setView} groups={groups} networks={networks} />
      </header>
      <main class={`view-${view}`}>
        {view !== "table" && (
          <Picture shown={pictured} links={links} rates={rates} networks={networks} selected={selected} select={setSelected} />
        )}
        {view !== "map" && <Table shown={found} rates={rates} selected={selected} select={setSelected} />}
        <aside aria-label="Details and events">
          {shown && <Details of={shown} isGone={!present} links={links} rates={rates} select={setSelected} />}
          <Events events={store.events} select={setSelected} />
        </aside>
      </main>
    </>
  );
}

const place = document.getElementById("app");
if (place) {
  place.replaceChildren();
  render(<App />, place);
  store.start();
}
