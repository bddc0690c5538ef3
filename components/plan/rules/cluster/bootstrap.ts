/** How a CloudNativePG cluster begins: new, imported, restored, or as a replica of another one. Pure. */
import { SKIP_ANNOTATION } from "../../../../runtime/cnpg/names";
import { type ClusterDefinition, type ClusterPlan, majorOfCluster, type SourcePlan } from "../../cluster/clusterPlan";
import type { RecoverySettings, RecoveryTargetSettings } from "../../cluster/declaredCluster";
import { engineOf } from "../../engines/engines";
import { abstaining, eachOf } from "../../findings/abstain";
import { type Finding, finding } from "../../findings/findings";
import { readOr } from "../../model/deferred";
import { type RepositoryPlan, storeOf, typeOf, withoutVersions } from "../../repositories/repositoryTypes";
import { checkReachable } from "./clusterRepositories";
import { checkRepositoryOptions } from "../options";
import { checkLocation, checkRepositoryValues } from "../repositories";
import { checkStanza } from "../values";

const LIKE_HINT = "take image and version from the source, like: orders.like, or set postgresVersion";

export function checkBootstrap(resolved: ClusterPlan): Finding[] {
  const { definition, source } = resolved;
  const { recovery } = definition.bootstrap;
  const others = abstaining(() => checkReplica(definition));
  if (recovery === undefined) return others;
  const repositories = source?.database.repositories ?? [];
  const names = repositories.map(({ name }) => name);
  const wrong = (path: string, fact: string, hint: string): Finding[] => [finding("PB114", path, fact, hint)];
  const own = abstaining(
    () => checkTarget(recovery.target ?? {}, recovery.snapshot !== undefined),
    () => (source === null ? [] : checkStanza("bootstrap.recovery.stanza", source.database.stanza)),
    () =>
      eachOf(repositories, (repository) =>
        checkSource(repository, `bootstrap.recovery.repositories.${repository.name}`, resolved),
      ),
    () => checkVersion(resolved),
    () =>
      eachOf(recovery.from ?? [], (name) => {
        if (names.includes(name)) return [];
        const fact = `${name} is not one of its repositories`;
        return wrong("bootstrap.recovery.from", fact, `use one of ${names.join(", ")}`);
      }),
    () => checkPast(definition, recovery, source),
    () => checkOverwrite(resolved, recovery),
    () => {
      if (names.length > 0 || recovery.snapshot !== undefined) return [];
      const fact = "it names nothing to restore from";
      return wrong("bootstrap.recovery.repositories", fact, "name a repository, or a snapshot");
    },
  );
  return [...own, ...others];
}

/** A repository that the new cluster reads. */
function checkSource(repository: RepositoryPlan, path: string, { definition, source }: ClusterPlan): Finding[] {
  return abstaining(
    () => checkLocation(repository, path, () => undefined),
    () => checkRepositoryValues(repository, path),
    () => typeOf(repository).checkKeys(repository, path, "cnpg"),
    () => (source === null ? [] : checkReachable(repository, path, source.database, definition)),
    () => {
      if (source === null) return [];
      const { own, stock } = engineOf(source.database.engine);
      return own || stock ? checkRepositoryOptions(source.database, repository, path) : [];
    },
  );
}

/** A version of PostgreSQL starts with files of its own version only. */
function checkVersion({ database, definition }: ClusterPlan): Finding[] {
  const theirs = definition.bootstrap.recovery?.postgresVersion;
  if (theirs === undefined) {
    if (database.postgresVersion !== undefined || !definition.isDefaultImage) return [];
    const fact = `nothing says which version the source has, and this cluster gets ${definition.postgresVersion}`;
    return [finding("PB119", "postgresVersion", fact, LIKE_HINT)];
  }
  const own = majorOfCluster(definition);
  if (own === null || theirs === own) return [];
  const fact = `the source has version ${theirs}, and this cluster gets ${own}: it cannot start with those files`;
  return [finding("PB114", "postgresVersion", fact, LIKE_HINT)];
}

const TIME_WITH_ZONE = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}(:?\d{2})?)$/;
const TIME_HINT = 'write for instance "2026-11-20T06:40:59Z"';

/** A repository as it was at a time: only where something keeps old content. */
function checkPast({ replica }: ClusterDefinition, recovery: RecoverySettings, source: SourcePlan | null): Finding[] {
  if (source === null || readOr(() => recovery.repositoryTargetTime === undefined, false)) return [];
  const { from } = recovery;
  const path = "bootstrap.recovery.repositoryTargetTime";
  const wrong = (fact: string, hint: string): Finding[] => [finding("PB114", path, fact, hint)];
  const { engine, repositories } = source.database;
  if (!engineOf(engine).own)
    return wrong(`engine "${engine}" cannot read a repository as it was`, 'use engine "runtime" for the source');
  if (replica?.enabled === true)
    return wrong("a replica cluster follows a growing archive, not that of one time", "leave it out");
  const read = repositories.filter(({ name }) => from === undefined || from.includes(name));
  const [only] = read;
  if (only === undefined || read.length > 1) {
    const hint = `name one in from, for instance from: ["${only?.name ?? "repo1"}"]`;
    return wrong("each repository has a past of its own, and several are read", hint);
  }
  const refusal = withoutVersions(only);
  if (refusal !== null) return wrong(refusal, "restore from another repository");
  const time = recovery.repositoryTargetTime ?? "";
  return TIME_WITH_ZONE.test(time) ? [] : wrong(`"${time}" is not a time with a zone`, TIME_HINT);
}

/**
 * A restored cluster starts a new timeline. In the archive of a cluster that still runs, both would be lost. Only a
 * replacement may continue that archive.
 */
function checkOverwrite({ database: plan, definition, source }: ClusterPlan, recovery: RecoverySettings): Finding[] {
  const sources = source?.database.stanza === plan.stanza ? source.database.repositories : [];
  const isShared = (repository: RepositoryPlan): boolean =>
    sources.some((other) => addressOf(other) === addressOf(repository));
  const isRefused = (): boolean =>
    engineOf(plan.engine).format === "Barman Cloud" && definition.annotations[SKIP_ANNOTATION] !== "enabled";
  if (recovery.continueArchive !== true) {
    return eachOf(plan.repositories, (repository) => {
      if (!isShared(repository)) return [];
      const fact = `${typeOf(repository).location(repository)} with stanza "${plan.stanza}" is the archive that the cluster is restored from`;
      const other = "choose another path or stanza to keep the old cluster's backups";
      const hint = readOr(() => plan.isReplica === true || isRefused(), false)
        ? other
        : `${other}; set continueArchive only if that cluster is gone for good`;
      return [finding("PB114", `repositories.${repository.name}`, fact, hint)];
    });
  }
  if (plan.isReplica === true) {
    const fact =
      "a replica cluster archives and expires from its first day: in the archive of the cluster that it follows, it would remove that one's backups";
    const hint = "leave it out, and give the replica a path or stanza of its own";
    return [finding("PB114", "bootstrap.recovery.continueArchive", fact, hint)];
  }
  if (isRefused()) {
    const fact = 'Barman\'s plugin restores beside an empty archive only, and fails with "Expected empty archive"';
    const hint = `choose another path or stanza and leave it out, use engine "runtime", or set metadata.annotations: { "${SKIP_ANNOTATION}": "enabled" }`;
    return [finding("PB044", "bootstrap.recovery.continueArchive", fact, hint)];
  }
  if (plan.repositories.some(isShared)) return [];
  const fact = `the cluster is not restored from any repository with stanza "${plan.stanza}"`;
  const hint = "set stanza and repositories to those of the old cluster, or leave it out";
  return [finding("PB114", "bootstrap.recovery.continueArchive", fact, hint)];
}

function addressOf(repository: RepositoryPlan): string {
  return `${storeOf(repository)?.endpoint ?? ""} ${typeOf(repository).location(repository)}`;
}

function checkReplica({ bootstrap: { recovery }, replica }: ClusterDefinition): Finding[] {
  if (replica === undefined) return [];
  const remedy = "set bootstrap.recovery to the stanza and repositories of the cluster that it follows";
  if (recovery === undefined)
    return [
      finding(
        "PB114",
        "replica",
        "a replica cluster starts from the archive that it follows, and none is named",
        remedy,
      ),
    ];
  if (recovery.repositories === undefined || Object.keys(recovery.repositories).length === 0)
    return [finding("PB114", "replica", "a replica cluster cannot follow a snapshot alone", remedy)];
  if (!replica.enabled || recovery.target === undefined) return [];
  const fact = "a replica cluster recovers without end: a target would promote it there";
  return [finding("PB114", "bootstrap.recovery.target", fact, "leave target out")];
}

const TARGETS = ["immediate", "lsn", "restorePoint", "time", "xid"] as const;

function checkTarget(target: RecoveryTargetSettings, fromSnapshot: boolean): Finding[] {
  const given = TARGETS.filter((name) => readOr(() => target[name] !== undefined, true));
  const path = "bootstrap.recovery.target";
  if (given.length > 1) {
    // A deferred one may turn out to have no value.
    if (given.some((name) => target[name] === undefined)) return [];
    const fact = `${given.join(" and ")} are given: recovery stops at one target`;
    return [finding("PB114", path, fact, "keep one of them")];
  }
  const [only = ""] = given;
  return abstaining(
    () => {
      if (!fromSnapshot || target.backup === undefined) return [];
      const fact = "recovery starts from the snapshot: the operator refuses another backup beside it";
      return [finding("PB114", `${path}.backup`, fact, "leave it out")];
    },
    () => {
      if (fromSnapshot || !["immediate", "restorePoint", "xid"].includes(only)) return [];
      if (target[only as "xid"] === undefined || target.backup !== undefined) return [];
      const fact = "the operator cannot find the backup before this target";
      return [finding("PB114", `${path}.${only}`, fact, "set target.backup to the label of a backup")];
    },
    () => {
      const { time } = target;
      if (time === undefined || TIME_WITH_ZONE.test(time)) return [];
      return [finding("PB114", `${path}.time`, `"${time}" is not a time with a zone`, TIME_HINT)];
    },
  );
}
