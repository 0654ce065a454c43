// Chooses interfaces by words and lists.

import { groupOf, type Interface, isUp, ownerText, place } from "./api";
import type { Rates } from "./rates";

export interface Filter {
  text: string;
  /** Of owners: a Kubernetes namespace, or the containers of a runtime. */
  group: string;
  network: string;
  state: "" | "up" | "down" | "losing";
}

export const EVERYTHING: Filter = { text: "", group: "", network: "", state: "" };

/** Stands for interfaces without an owner in the list of groups. */
export const NO_OWNER = "\0no owner";

export function isEverything(filter: Filter): boolean {
  return filter.text.trim() === "" && filter.group === "" && filter.network === "" && filter.state === "";
}

function words(of: Interface): string {
  const workload = of.pod?.workload;
  const parts = [of.name, of.alias, of.kind, of.mac, of.network, ownerText(of), place(of.netns), of.oper_state];
  const { container, device } = of;
  const more = [workload && `${workload.kind}/${workload.name}`, container?.image, ...(container?.ids ?? []), device?.claim, device?.driver, of.peer?.name, ...of.alt_names, ...of.addresses];
  return [...parts, ...more].filter(Boolean).join(" ").toLowerCase();
}

/** Whether the interface has all words of the text, and the chosen group, network and state. */
export function matcher(filter: Filter, rates: Rates): (of: Interface) => boolean {
  const wanted = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  return (of) => {
    if (filter.group === NO_OWNER ? groupOf(of) !== null : filter.group && groupOf(of) !== filter.group) return false;
    if (filter.network && of.network !== filter.network) return false;
    if (filter.state === "up" && !isUp(of)) return false;
    if (filter.state === "down" && isUp(of)) return false;
    const rate = filter.state === "losing" ? rates.of(of.id) : null;
    if (filter.state === "losing" && !(rate && rate.dropped + rate.errors > 0)) return false;
    if (wanted.length === 0) return true;
    const text = words(of);
    return wanted.every((word) => text.includes(word));
  };
}

/** The different values of a field, sorted. */
export function values(of: Iterable<Interface>, field: (of: Interface) => string | null | undefined): string[] {
  const found = new Set<string>();
  for (const one of of) {
    const value = field(one);
    if (value) found.add(value);
  }
  return [...found].sort((a, b) => a.localeCompare(b));
}
