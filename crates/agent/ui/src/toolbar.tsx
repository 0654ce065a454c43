// Search, filters and the choice between picture and table.

import { EVERYTHING, type Filter, isEverything, NO_OWNER } from "./filter";
import { networkClass } from "./picture";

export type View = "map" | "table" | "both";

export interface Props {
  filter: Filter;
  setFilter: (filter: Filter) => void;
  view: View;
  setView: (view: View) => void;
  groups: string[];
  networks: string[];
}

export function Toolbar({ filter, setFilter, view, setView, groups, networks }: Props) {
  const views: [View, string][] = [["map", "Map"], ["table", "Table"], ["both", "Both"]];
  return (
    <form class="toolbar" role="search" onSubmit={(event) => event.preventDefault()}>
      <input type="search" aria-label="Search" placeholder="Name, pod, address, MAC …" value={filter.text}
        onInput={(event) => setFilter({ ...filter, text: event.currentTarget.value })} />
      <select aria-label="Kubernetes namespace or runtime" value={filter.group}
        onChange={(event) => setFilter({ ...filter, group: event.currentTarget.value })}>
        <option value="">all owners</option>
        {groups.map((name) => <option key={name} value={name}>{name}</option>)}
        <option value={NO_OWNER}>without an owner</option>
      </select>
      <select aria-label="Network" value={filter.network}
        onChange={(event) => setFilter({ ...filter, network: event.currentTarget.value })}>
        <option value="">all networks</option>
        {networks.map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
      <select aria-label="State" value={filter.state}
        onChange={(event) => setFilter({ ...filter, state: event.currentTarget.value as Filter["state"] })}>
        <option value="">all states</option>
        <option value="up">up</option>
        <option value="down">not up</option>
        <option value="losing">dropping or failing now</option>
      </select>
      <button type="button" disabled={isEverything(filter)} onClick={() => setFilter(EVERYTHING)}>Clear</button>
      <fieldset>
        <legend class="hidden">View</legend>
        {views.map(([value, text]) => (
          <label key={value}>
            <input type="radio" name="view" checked={view === value} onChange={() => setView(value)} /> {text}
          </label>
        ))}
      </fieldset>
      <ul class="legend" aria-label="Colours of networks">
        {networks.slice(0, 8).map((name) => (
          <li key={name}><i class={`swatch ${networkClass(name, networks)}`} aria-hidden="true" /> <bdi>{name}</bdi></li>
        ))}
      </ul>
    </form>
  );
}
