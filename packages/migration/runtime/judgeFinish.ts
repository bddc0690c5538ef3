/**
 * `finish`: decides whether the old cluster may be removed: compared, backed up in every repository since, and restored
 * once by a drill. Pure.
 */
import type { BackupEvidence } from "./backupEvidence";
import type { DatabaseFacts } from "./facts";

export interface FinishReport {
  readonly version: 1;
  /** For a stack to read: true only when nothing is missing. */
  readonly mayRetireSource: boolean;
  /** Time by the target's clock; null when nothing was copied. */
  readonly copiedAtS: number | null;
  readonly databases: number;
  /** Each repository's first backup that began after the copy; null if absent. */
  readonly backups: readonly { readonly repo: number; readonly label: string | null }[];
  /** The newest successful drill with such a backup. */
  readonly drill: string | null;
  /** Text with remedies. */
  readonly missing: readonly string[];
}

/** `databases` of the target; those without a mark were not migrated. */
export function judgeFinish(
  { drills, repositories }: BackupEvidence,
  databases: readonly DatabaseFacts[],
): FinishReport {
  const migrated = databases.flatMap(({ migration, name }) => (migration === null ? [] : [{ name, ...migration }]));
  const missing: string[] = [];
  const copiedAtS = migrated.length === 0 ? null : Math.max(...migrated.map((each) => each.copiedAtS));
  if (copiedAtS === null) missing.push("no database was migrated into this cluster: pgbackstop-migration copy");
  const unfinished = databases.filter(({ isCopying }) => isCopying);
  if (unfinished.length > 0)
    missing.push(`${unfinished.length} databases are not completely copied: run pgbackstop-migration copy again`);
  const unverified = migrated.filter(({ verifiedAtS }) => verifiedAtS === null);
  if (unverified.length > 0)
    missing.push(
      `different, or not compared with a read-only source: ${unverified.map(({ name }) => `'${name}'`).join(", ")}: pgbackstop-migration verify`,
    );
  if (repositories.length === 0) missing.push("no repository is configured, so these data have no backup");
  const labels = new Set<string>();
  const backups = repositories.map(({ backups: all, key, trouble }) => {
    const since = all.filter(({ startedAtS }) => startedAtS >= (copiedAtS ?? 0));
    for (const { label } of since) labels.add(label);
    const [first] = since;
    if (trouble !== null) missing.push(`repo${key} cannot be read: ${trouble}`);
    else if (first === undefined)
      missing.push(`repo${key} has no backup that began after the copy: pgbackstop backup --repo=${key}`);
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
