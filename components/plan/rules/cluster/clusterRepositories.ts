/** Repositories of a CloudNativePG cluster: what a pod reaches and the engine has a field for. Pure. */
import type { ClusterDefinition, ClusterPlan } from "../../cluster/clusterPlan";
import { engineOf } from "../../engines/engines";
import { abstaining, eachOf } from "../../findings/abstain";
import { type Finding, finding } from "../../findings/findings";
import type { ClusterDatabasePlan } from "../../model/plan";
import { type RepositoryPlan, typeOf } from "../../repositories/repositoryTypes";

/** Repositories that a pod can reach and the engine has a field for. */
export function checkRepositories({ database, definition }: ClusterPlan): Finding[] {
  return eachOf(database.repositories, (repository) =>
    checkReachable(repository, `repositories.${repository.name}`, database, definition),
  );
}

export function checkReachable(
  repository: RepositoryPlan,
  path: string,
  database: ClusterDatabasePlan,
  definition: ClusterDefinition,
): Finding[] {
  const engine = engineOf(database.engine);
  const { kind } = repository;
  if (!engine.own && kind !== "s3" && kind !== "unknown") {
    if (!engine.kinds.includes(kind)) return [];
    const fact = `${database.engine} on CloudNativePG writes to buckets only`;
    return [finding("PB044", `${path}.at`, fact, 'use engine "runtime"')];
  }
  const findings = typeOf(repository).checkPod(repository, path);
  if (findings.length > 0) return findings;
  return abstaining(
    () => {
      if (!engine.stock || definition.stanzaKind !== "Repository" || !repository.encrypted) return [];
      const fact = "objects of kind Repository have no field for a passphrase: backups would be stored unencrypted";
      const hint = "update Dalibo's plugin to 0.0.1 or newer and leave stanzaKind out";
      return [finding("PB045", `${path}.at`, fact, hint)];
    },
    () => {
      if (engine.keepsByCount || repository.keepFullCount === undefined) return [];
      return [finding("PB044", `${path}.keepFullCount`, `${engine.title} keeps by days only`, "set keepDays")];
    },
    () => {
      if (engine.keepsByCount || repository.keepDiffCount === undefined) return [];
      const fact = `${engine.title} takes no differential backups`;
      return [finding("PB044", `${path}.keepDiffCount`, fact, "leave it out")];
    },
  );
}

/** The old kind of Dalibo's object has no field for variables, and no kind gets a volume for a spool. */
export function checkStockOptions({ database, definition }: ClusterPlan): Finding[] {
  if (!engineOf(database.engine).stock) return [];
  const given = [database, ...database.repositories].some(({ options }) => Object.keys(options).length > 0);
  if (given && definition.stanzaKind === "Repository") {
    const hint = "update Dalibo's plugin to 0.0.1 or newer and leave stanzaKind out";
    return [finding("PB170", "options", "objects of kind Repository have no field for options", hint)];
  }
  if (database.options["archive-async"] !== "y") return [];
  const fact = "the sidecar cannot write a spool, so no WAL would be archived: its file system is read-only";
  return [finding("PB170", "options.archive-async", fact, 'leave it out, or use engine "runtime"')];
}
