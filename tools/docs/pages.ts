/** Every generated file, by path. */
import { renderArgumentTypes, renderPackageTypes } from "./argumentTypes";
import { renderClaims } from "./claimsPage";
import { renderCommands } from "./commandsPage";
import { renderComponents, renderPackageReference, renderTypes } from "./componentsPage";
import { renderFileDeclarations, renderFilesPage } from "./fileTypes";
import { renderMetrics } from "./metricsPage";
import { renderOptions } from "./optionsPage";
import { renderRules } from "./rulesPage";
import { renderTopologyTypes } from "./topologyTypes";

/**
 * Files that `npm run check` compares. A row gathers what stands in several sources, so that its diff shows a reviewer
 * what a user will notice; the TypeScript is code that runs.
 */
export const COMPARED: Readonly<Record<string, () => string>> = {
  "docs/reference/commands.md": renderCommands,
  "docs/reference/files.md": renderFilesPage,
  "docs/reference/metrics.md": renderMetrics,
  "docs/reference/options.md": renderOptions,
  "docs/reference/rules.md": renderRules,
  "components/plan/arguments/argumentTypes.ts": renderArgumentTypes,
  "components/plan/topology/topologyTypes.ts": renderTopologyTypes,
  "packages/migration/components/argumentTypes.ts": () => renderPackageTypes("packages/migration"),
  "runtime/base/fileDeclarations.ts": renderFileDeclarations,
};

/** Files that only a release needs: they repeat docstrings and comments, whose own diff reads the same. */
export const AT_RELEASE: Readonly<Record<string, () => string>> = {
  "docs/internals/claims.md": renderClaims,
  "docs/reference/components.md": renderComponents,
  "docs/reference/types.md": renderTypes,
  "packages/migration/docs/reference.md": () => renderPackageReference("packages/migration"),
};
