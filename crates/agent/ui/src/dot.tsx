// The state of an interface as a sign whose shape differs as well as its colour.

import { type Interface, isUp } from "./api";

export function StateSign({ of }: { of: Interface }) {
  const state = isUp(of) ? "up" : of.admin_up ? "down" : "off";
  return (
    <svg class={`sign ${state}`} viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">
      {state === "up" && <circle cx="5" cy="5" r="4" />}
      {state === "down" && <path d="M5 0.5 9.8 9.2H0.2z" />}
      {state === "off" && <circle cx="5" cy="5" r="3.2" fill="none" stroke-width="1.6" />}
    </svg>
  );
}
