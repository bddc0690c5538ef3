/** Converts a host's plan to the inputs of its resource. Pure: the caller passes the runtime's digest. */
import type { DesiredInput, DirectoriesInput, HostInputs } from "../dynamic/host";
import type { NodeInput } from "../host/node/nodeChoice";
import { drillPath, ownDrills } from "../plan/schedule/declaredDrills";
import type { HostPlan } from "../plan/model/plan";
import { typeOf } from "../plan/repositories/repositoryTypes";
import {
  containerName,
  hasLauncher,
  hostPaths,
  launcherPath,
  ownDirectories,
  runtimeArgv,
  secretsDirectory,
} from "../plan/host/hostCommand";
import { stockArgv } from "../render/host/stockCommand";
import { engineOf } from "../plan/engines/engines";
import { stockLimits } from "../plan/engines/stockVersions";
import { hostEngine } from "../render/engines/engineTable";
import { hostParts } from "../render/host/hostParts";
import { type RenderedFile } from "../render/host/renderedFile";
import type { Unit } from "../render/units/unit";
import { given } from "../../runtime/base/given";

/** Permanent location of a repository's backups, which a passphrase belongs to. */
export function cipherLocation(plan: HostPlan, repositoryName: string): string {
  const repository = plan.repositories.find(({ name }) => name === repositoryName);
  if (repository === undefined) throw new Error(`${repositoryName} is not a repository of ${plan.name}`);
  const type = typeOf(repository);
  const endpoint = type.endpoint(repository);
  return `${type.location(repository)}${endpoint === null ? "" : ` at ${endpoint}`}`;
}

/** @throws Error for an unknown path: our bug */
export function loadFile(files: readonly RenderedFile[], path: string): RenderedFile {
  const rendered = files.find((file) => file.path === path);
  if (rendered === undefined) throw new Error(`${path} is listed but not rendered`);
  return rendered;
}

/** PostgreSQL's settings. */
export function hostSettings(plan: HostPlan): HostInputs["settings"] {
  return plan.restoreOnly ? {} : hostParts(plan).settings;
}

function keptDirectories(plan: HostPlan): Pick<DirectoriesInput, "keep" | "mounts"> {
  const repositories = plan.repositories.filter((repository) => repository.kind === "posix");
  const made = plan.restoreOnly ? [] : repositories.map((repository) => repository.path);
  const kept = [...ownDirectories(plan.directories), ...made];
  const isShown = !plan.sendsMetrics && plan.maintenance.some(({ name }) => name === "metrics");
  const shown = isShown ? [plan.directories.metrics] : [];
  const drilled = [...new Set(ownDrills(plan).map((drill) => drillPath(drill, plan)))];
  return {
    keep: [
      ...kept.map((path) => ({ path, mode: "0750", owner: "database" as const })),
      ...shown.map((path) => ({ path, mode: "0755", owner: "database" as const })),
      ...drilled.map((path) => ({ path, mode: "0700", owner: "database" as const })),
    ],
    mounts: repositories.filter((repository) => repository.requireMount).map((repository) => repository.path),
  };
}

/** Everything but the files, the settings, and reasons to recreate the host. */
export function hostDesired(plan: HostPlan, runtimeSha256: string, node?: NodeInput): DesiredInput {
  const { directories } = plan;
  const paths = hostPaths(directories);
  const { units } = hostParts(plan);
  const existing = [
    ...plan.repositories.flatMap(({ secretFiles = {} }) => Object.values(secretFiles)),
    ...[plan.notifyFile, plan.otlpFile].filter((path) => path !== undefined),
  ];
  return {
    stanza: plan.stanza,
    server: {
      user: plan.user,
      ...(plan.container === undefined ? {} : { container: containerName(plan.container) }),
      mayRestart: plan.allowRestart,
      restartCommand: plan.restartCommand,
      ...(plan.postgres === undefined
        ? {}
        : { postgres: { ...plan.postgres, port: plan.port, ...(plan.restoreOnly ? { programsOnly: true } : {}) } }),
    },
    directories: {
      config: directories.config,
      units: directories.units,
      make: [
        { path: directories.config, mode: "0755", owner: "admin" },
        { path: secretsDirectory(plan), ...hostEngine(plan).secretRights(plan).directory },
        { path: directories.lib, mode: "0755", owner: "admin" },
        ...(hasLauncher(plan) ? [{ path: directories.bin, mode: "0755", owner: "admin" as const }] : []),
        ...(units.length === 0 ? [] : [{ path: directories.units, mode: "0755", owner: "admin" as const }]),
      ],
      ...keptDirectories(plan),
    },
    runtime: {
      ...given({ node }),
      path: paths.runtime,
      sha256: runtimeSha256,
      argv: runtimeArgv(plan),
      ...(plan.agent ? { launcher: launcherPath(plan) } : {}),
      ...(existing.length === 0 ? {} : { secretFiles: existing }),
    },
    ...(engineOf(plan.engine).stock
      ? { stock: { argv: stockArgv(plan), limits: stockLimits(plan.repositories) } }
      : {}),
    units: { enabled: namesWhere(units, "enabled"), restarted: namesWhere(units, "restarted") },
    backups: { takeFirst: plan.firstBackup },
  };
}

function namesWhere(units: readonly Unit[], field: "enabled" | "restarted"): string[] {
  return units.filter((unit) => unit[field]).map(({ name }) => name);
}
