// A chart of the last ten minutes.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

import { minute } from "./format";
import type { Column } from "./rates";

export interface Series {
  label: string;
  values: Column;
  /** A colour's name in the style sheet. */
  colour: string;
}

export interface Props {
  title: string;
  times: number[];
  series: Series[];
  format: (value: number) => string;
}

const HEIGHT = 130;

export function Chart({ title, times, series, format }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = [times, ...series.map(({ values }) => values)] as uPlot.AlignedData;
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(element, series, format), latest.current, element);
    };
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    draw();
    observer.observe(element);
    dark.addEventListener("change", draw);
    return () => {
      observer.disconnect();
      dark.removeEventListener("change", draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, []);
  // Readings come every two seconds, other changes with each frame.
  useEffect(() => plot.current?.setData(data), [times]);

  return (
    <figure class="chart">
      <figcaption>
        <b>{title}</b>
        {series.map((one) => (
          <span key={one.label}>
            <i class={`key ${one.colour}`} aria-hidden="true" /> {one.label} {summary(one.values, format)}
          </span>
        ))}
      </figcaption>
      <div ref={place} aria-hidden="true" />
    </figure>
  );
}

/** The last value and the largest one. */
function summary(values: Column, format: (value: number) => string): string {
  const known = values.filter((value) => value !== null);
  const last = known.at(-1);
  return last === undefined ? "not known yet" : `${format(last)}, at most ${format(Math.max(...known))}`;
}

function options(element: HTMLElement, series: Series[], format: (value: number) => string): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const axis = { stroke: colour("faint"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "11px sans-serif" };
  return {
    width: element.clientWidth || 300,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { range: (_, __, max) => [max - 600, max] },
      y: { range: (_, __, max) => [0, Math.max(max * 1.1, 1)] },
    },
    axes: [
      { ...axis, size: 24, values: (_, at) => at.map((time) => minute(time * 1000)) },
      { ...axis, size: 64, values: (_, at) => at.map(format) },
    ],
    series: [{}, ...series.map(({ label, colour: name }) => ({ label, stroke: colour(name), width: 1.5, points: { show: false } }))],
  };
}
