// Everything about one interface.

import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";

import { type Interface, ownerText, place } from "./api";
import { Chart } from "./chart";
import { StateSign } from "./dot";
import { bytes, dateAndTime, rate as perSecond } from "./format";
import type { Links } from "./links";
import type { Rates } from "./rates";

export interface Props {
  of: Interface;
  isGone: boolean;
  links: Links;
  rates: Rates;
  select: (id: number | null) => void;
}

export function Details({ of, isGone, links, rates, select }: Props) {
  const history = useMemo(() => rates.history(of.id), [of.id, rates, rates.revision]);
  const total = rates.total(of.id);
  const around = isGone ? [] : links.around(of);
  const { pod, container, device } = of;
  return (
    <section class="details" aria-labelledby="details-title">
      <header>
        <h2 id="details-title"><bdi>{of.name}</bdi> <small><bdi>{ownerText(of)}</bdi></small></h2>
        <button type="button" aria-label="Close the details" onClick={() => select(null)}>×</button>
      </header>
      {isGone && <p class="gone">This interface is deleted.</p>}
      <Chart key={`rate ${of.id}`} title="Rate, last ten minutes" times={history.times} format={bytes}
        series={[
          { label: "received", values: history.receive, colour: "receive" },
          { label: "sent", values: history.transmit, colour: "transmit" },
        ]} />
      <Chart key={`loss ${of.id}`} title="Loss, last ten minutes" times={history.times} format={(value) => perSecond(value, "/s")}
        series={[
          { label: "drops", values: history.dropped, colour: "drop" },
          { label: "errors", values: history.errors, colour: "error" },
        ]} />
      <dl>
        <Field name="State"><StateSign of={of} /> {of.oper_state}{of.admin_up ? "" : ", set down"}</Field>
        <Field name="Kind">{of.kind ?? "hardware or loopback"}</Field>
        <Field name="Pod">{pod && `${pod.namespace}/${pod.name}${pod.end === "host" ? ", host end" : ""} (${pod.source}${pod.leaked ? ", leaked" : ""})`}</Field>
        <Field name="Workload">{pod?.workload && `${pod.workload.kind} ${pod.workload.name}`}</Field>
        <Field name="Container">{container && `${container.runtime}/${container.name}${container.end === "host" ? ", host end" : ""}`}</Field>
        <Field name="Image">{container?.image}</Field>
        <Field name="Ids">{container?.ids.map((id) => id.slice(0, 12)).join(" ")}</Field>
        <Field name="Device">{device && `${device.name} of ${device.driver}, pool ${device.pool}, claim ${device.claim}`}</Field>
        <Field name="Network">{of.network}</Field>
        <Field name="Addresses">{of.addresses.join(" ")}</Field>
        <Field name="MAC">{of.mac}</Field>
        <Field name="Netns">{place(of.netns)}, inode {of.netns.inode}</Field>
        <Field name="Index, MTU">{of.ifindex}, {of.mtu}</Field>
        <Field name="Tunnel">{of.underlay && `${of.underlay.local ?? "any"} → ${of.underlay.remote ?? "any"}`}</Field>
        <Field name="Hardware">{of.parent && `${of.parent.bus} ${of.parent.device}`}</Field>
        <Field name="Function of">{of.parent?.physical_function}</Field>
        <Field name="Alias">{of.alias}</Field>
        <Field name="Other names">{of.alt_names.join(" ")}</Field>
        <Field name="Since">{dateAndTime(of.since)}</Field>
        {total && (
          <Field name="Packets">
            {total.receive.packets} received, {total.transmit.packets} sent, {total.receive.dropped + total.transmit.dropped} dropped
          </Field>
        )}
      </dl>
      {around.length > 0 && (
        <ul class="around" aria-label="Connected interfaces">
          {around.slice(0, 40).map(([relation, other]) => (
            <li key={other.id}>
              {relation}{" "}
              <button type="button" onClick={() => select(other.id)}>
                <bdi>{other.name}</bdi> <small><bdi>{ownerText(other)}</bdi></small>
              </button>
            </li>
          ))}
          {around.length > 40 && <li>and {around.length - 40} more</li>}
        </ul>
      )}
    </section>
  );
}

function Field({ name, children }: { name: string; children?: ComponentChildren }) {
  if (children === null || children === undefined || children === "") return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd><bdi>{children}</bdi></dd>
    </div>
  );
}
