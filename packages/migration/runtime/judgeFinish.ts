/**
 * `finish`: decides whether the old cluster may be removed: compared, read-only ever since, backed up in every
 * repository since, and restored once by a drill. Pure.
 */
import type { BackupEvidence, RepositoryEvidence } from "./backupEvidence";
import type { ClusterFacts } from "./facts";
import type { MigrationMark } from "./marks";
import { type DatabaseChoice, isChosen } from "./migrationPlan";

export interface FinishReport {
  readonly version: 1;
  /** For a stack to read: true only when nothing is missing. */
  readonly mayRetireSource: boolean;
  /** Time by the target's clock; null when nothing was copied. */
  readonly copiedAtS: number | null;
  readonly databases: number;
  /** Each repository's first backup of the target that began after the copy; null if absent. */
  readonly backups: readonly { readonly repo: number; readonly label: string | null }[];
  /** The newest successful drill with such a backup. */
  readonly drill: string | null;
  /** Text with remedies. */
  readonly missing: readonly string[];
}

const SYSTEM_DATABASES: ReadonlySet<string> = new Set(["postgres", "template0", "template1"]);

/** The databases that a migration is about. */
export function chosenNames(databases: readonly { readonly name: string }[], choice: DatabaseChoice): string[] {
  return databases.map(({ name }) => name).filter((name) => !SYSTEM_DATABASES.has(name) && isChosen(name, choice));
}

type SourceFacts = Pick<ClusterFacts, "databases" | "inRecovery" | "subscriptions" | "systemId">;

/** The old cluster now, or why it does not answer. `stopped`: its owner says so. Null: nobody asked it. */
export type SourceEvidence = SourceFacts | { readonly trouble: string } | "stopped" | null;

type Migrated = MigrationMark & { readonly name: string };

/**
 * Databases of the target without a mark, or of another source than the one that answers, do not count; nor do backups
 * of another cluster than the target.
 */
export function judgeFinish(
  { drills, repositories }: BackupEvidence,
  { databases, systemId }: Pick<ClusterFacts, "databases" | "systemId">,
  source: SourceEvidence,
  choice: DatabaseChoice,
): FinishReport {
  const facts = isFacts(source) ? source : null;
  const migrated = databases.flatMap(({ migration, name }): Migrated[] =>
    migration === null || (facts !== null && migration.from !== facts.systemId) ? [] : [{ name, ...migration }],
  );
  const missing: string[] = [];
  const copiedAtS = migrated.length === 0 ? null : Math.max(...migrated.map((each) => each.copiedAtS));
  if (copiedAtS === null) {
    const from = facts === null ? "" : " from the server that --from-server names";
    missing.push(`no database was migrated into this cluster${from}: pgbackstop-migration copy`);
  }
  const absent = facts === null ? [] : chosenNames(facts.databases, choice);
  const left = absent.filter((name) => !migrated.some((each) => each.name === name));
  if (copiedAtS !== null && left.length > 0)
    missing.push(
      `only the source has ${left.map((name) => `'${name}'`).join(", ")}: pgbackstop-migration copy, or --db-exclude if nobody needs them`,
    );
  const unfinished = databases.filter(({ isCopying }) => isCopying);
  if (unfinished.length > 0)
    missing.push(`${unfinished.length} databases are not completely copied: run pgbackstop-migration copy again`);
  const unverified = migrated.filter(({ verifiedAtS }) => verifiedAtS === null);
  if (unverified.length > 0)
    missing.push(
      `different, or not compared with a read-only source: ${quoted(unverified)}: pgbackstop-migration verify`,
    );
  missing.push(...judgeSource(source, migrated));
  if (repositories.length === 0) missing.push("no repository is configured, so these data have no backup");
  const labels = new Set<string>();
  const backups = repositories.map((repository) => {
    const { backups: all, key, trouble } = repository;
    const since = all.filter((each) => each.systemId === systemId && each.startedAtS >= (copiedAtS ?? 0));
    for (const { label } of since) labels.add(label);
    const [first] = since;
    if (trouble !== null) missing.push(`repo${key} cannot be read: ${trouble}`);
    else if (first === undefined) missing.push(lacking(repository, systemId));
    return { repo: key, label: first?.label ?? null };
  });
  const passed = drills.filter(({ label, ok }) => ok && label !== null && labels.has(label)).map(({ id }) => id);
  const drill = passed.toSorted().at(-1) ?? null;
  if (drill === null) missing.push("no drill has passed with such a backup: pgbackstop drill --pick=newest");
  return {
    version: 1,
    mayRetireSource: missing.length === 0,
    copiedAtS,
    databases: migrated.length,
    backups,
    drill,
    missing,
  };
}

function lacking({ backups, key }: RepositoryEvidence, systemId: string): string {
  const others = [...new Set(backups.map((each) => each.systemId ?? "unknown"))];
  return others.length === 0 || others.includes(systemId)
    ? `repo${key} has no backup that began after the copy: pgbackstop backup --repo=${key}`
    : `repo${key} has backups of another cluster only (system identifier ${others.join(", ")}, the target's is ${systemId}): ask for the target's stanza with --backup-command or --backup-report`;
}

/** Writes may have gone to a source without the guard of the comparison: only the source itself can tell. */
function judgeSource(source: SourceEvidence, migrated: readonly Migrated[]): string[] {
  if (source === "stopped") return [];
  if (source === null)
    return [
      "nobody asked the source whether it is still read-only: --from-server, or --source-stopped if it was shut down for good",
    ];
  if (!isFacts(source))
    return [
      `the source cannot be asked whether it is still read-only: ${source.trouble}: start it, or --source-stopped if it was shut down for good`,
    ];
  if (source.inRecovery) return ["the source is a standby, which may lag behind: name its primary in --from-server"];
  const fed = source.subscriptions.filter(
    ({ database, isEnabled }) => isEnabled && migrated.some(({ name }) => name === database),
  );
  // Enabled for a while since the comparison: its workers may have written although the guard is there.
  const altered = source.subscriptions.filter(
    ({ database, isEnabled, state }) =>
      !isEnabled &&
      migrated.some(
        ({ name, subscriptions = [], verifiedAtS }) =>
          name === database && verifiedAtS !== null && !(state !== null && subscriptions.includes(state)),
      ),
  );
  const writable = migrated.filter(
    ({ guardAtS, name, verifiedAtS }) =>
      verifiedAtS !== null &&
      !fed.some(({ database }) => database === name) &&
      source.databases.find((each) => each.name === name)?.guard?.atS !== guardAtS,
  );
  return [
    ...fed.map(
      ({ database, name }) =>
        `the subscription '${name}' writes into '${database}' of the source: SET default_transaction_read_only = off and ALTER SUBSCRIPTION … DISABLE there, then pgbackstop-migration verify`,
    ),
    ...altered.map(({ database, name, state }) =>
      state === null
        ? `only a superuser sees whether the subscription '${name}' of '${database}' was enabled in the source: name one in --from-server`
        : `the subscription '${name}' of '${database}' was changed in the source after the comparison: pgbackstop-migration verify`,
    ),
    ...(writable.length === 0
      ? []
      : [
          `the source was writable after the comparison of ${quoted(writable)}: stop the applications, then pgbackstop-migration copy and verify`,
        ]),
  ];
}

function isFacts(source: SourceEvidence): source is SourceFacts {
  return source !== null && typeof source === "object" && "databases" in source;
}

function quoted(databases: readonly Migrated[]): string {
  return databases.map(({ name }) => `'${name}'`).join(", ");
}
