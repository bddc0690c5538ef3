/** Every page of docs/reference and its source, and what else the declarations make. */
import { renderArgumentTypes } from "./argumentTypes";
import { renderCommands } from "./commandsPage";
import { renderComponents, renderTypes } from "./componentsPage";
import { renderMetrics } from "./metricsPage";
import { renderOptions } from "./optionsPage";
import { renderRules } from "./rulesPage";
import { renderTopologyTypes } from "./topologyTypes";

export const PAGES: Readonly<Record<string, () => string>> = {
  "commands.md": renderCommands,
  "components.md": renderComponents,
  "metrics.md": renderMetrics,
  "options.md": renderOptions,
  "rules.md": renderRules,
  "types.md": renderTypes,
};

/** Files outside docs/reference, by path. */
export const MADE_FILES: Readonly<Record<string, () => string>> = {
  "components/plan/arguments/argumentTypes.ts": renderArgumentTypes,
  "components/plan/topology/topologyTypes.ts": renderTopologyTypes,
};
