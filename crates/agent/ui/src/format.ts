// Numbers and times for people.

const PREFIXES = ["", "k", "M", "G", "T"];

/** Three digits with the SI's prefix: `0 B/s`, `12 kB/s`, `1.2 MB/s`. */
export function rate(value: number, unit: string): string {
  let scaled = value;
  let prefix = 0;
  while (scaled >= 999.5 && prefix < PREFIXES.length - 1) {
    scaled /= 1000;
    prefix += 1;
  }
  const digits = scaled >= 9.95 || prefix === 0 ? 0 : 1;
  return `${scaled.toFixed(scaled > 0 && scaled < 9.95 && prefix === 0 && scaled % 1 > 0.05 ? 1 : digits)} ${PREFIXES[prefix]}${unit}`;
}

export function bytes(value: number): string {
  return rate(value, "B/s");
}

// Made once: `toLocaleTimeString` makes a formatter in each call, which takes longer than everything else about an event.
const CLOCK = new Intl.DateTimeFormat([], { timeStyle: "medium", hour12: false });
const MINUTE = new Intl.DateTimeFormat([], { timeStyle: "short", hour12: false });
const DATE = new Intl.DateTimeFormat([], { dateStyle: "short", timeStyle: "medium", hour12: false });

/** The time of the day. */
export function clock(time: string | number): string {
  return CLOCK.format(new Date(time));
}

export function minute(time: number): string {
  return MINUTE.format(time);
}

export function dateAndTime(time: string): string {
  return DATE.format(new Date(time));
}
