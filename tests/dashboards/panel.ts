// The types of Grafana's dashboards, with the options of each kind of panel that the dashboards use.
import type { Dashboard, Panel, RowPanel, TableFieldOptions, GraphFieldConfig } from "@grafana/schema";
import type { Options as StateTimelineOptions, FieldConfig as StateTimelineField } from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type { Options as StatOptions } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type { Options as TableOptions } from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type { Options as TimeSeriesOptions } from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

/** Values of JSON: a text for a text of an enumeration. */
type Plain<T> = T extends string ? `${T}` : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;

type Kind<Type extends string, Options, Custom> = Omit<Panel, "type" | "options" | "fieldConfig"> & {
  type: Type;
  options: Partial<Options>;
  fieldConfig: Omit<NonNullable<Panel["fieldConfig"]>, "defaults"> & {
    defaults: Omit<NonNullable<Panel["fieldConfig"]>["defaults"], "custom"> & { custom?: Partial<Custom> };
  };
};

type Known =
  | Kind<"timeseries", TimeSeriesOptions, GraphFieldConfig>
  | Kind<"stat", StatOptions, never>
  | Kind<"table", TableOptions, TableFieldOptions>
  | Kind<"state-timeline", StateTimelineOptions, StateTimelineField>;

/** A dashboard of these kinds of panels only. */
export type Checked = Plain<Omit<Dashboard, "panels"> & { panels: (Known | RowPanel)[] }>;
