// The part of a scrolled element that is in view, in pixels.

import { useLayoutEffect, useRef, useState } from "preact/hooks";

interface View {
  top: number;
  height: number;
  width: number;
}

/** Follows the scrolling and the size of the element that gets the reference. */
export function useView() {
  const scroller = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<View>({ top: 0, height: 800, width: 1000 });
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const measure = () => setView({ top: element.scrollTop, height: element.clientHeight, width: element.clientWidth });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    measure();
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, []);
  return [scroller, view] as const;
}
