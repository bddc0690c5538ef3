/**
 * `migrate finish`: decides whether the old cluster may be removed: compared, backed up in every repository since, and
 * restored once by a drill. Changes nothing.
 */
import type { Context } from "../../base/context";
import { perRepo } from "../../base/parallel";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { loadDrillHistory } from "../drill/history";
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
export async function judgeFinish(
  repos: readonly Repository[],
  databases: readonly DatabaseFacts[],
  ctx: Context,
): Promise<FinishReport> {
  const migrated = databases.flatMap(({ migration, name }) => (migration === null ? [] : [{ name, ...migration }]));
  const missing: string[] = [];
  const copiedAtS = migrated.length === 0 ? null : Math.max(...migrated.map((each) => each.copiedAtS));
  if (copiedAtS === null) missing.push("no database was migrated into this cluster: pgbackstop migrate copy");
  const unfinished = databases.filter(({ isCopying }) => isCopying);
  if (unfinished.length > 0)
    missing.push(`${unfinished.length} databases are not completely copied: run pgbackstop migrate copy again`);
  const unverified = migrated.filter(({ verifiedAtS }) => verifiedAtS === null);
  if (unverified.length > 0)
    missing.push(
      `different, or not compared with a read-only source: ${unverified.map(({ name }) => `'${name}'`).join(", ")}: pgbackstop migrate verify`,
    );
  if (repos.length === 0) missing.push("no repository is configured, so these data have no backup");
  const answers = await perRepo(repos, async (repo) =>
    (await loadBackupInfo(repo)).backups.filter(({ startedAtS }) => startedAtS >= (copiedAtS ?? 0)),
  );
  const labels = new Set<string>();
  const backups = answers.map((result) => {
    if (!result.ok)
      missing.push(`repo${result.repoIndex} cannot be read: [${result.error.name}] ${result.error.message}`);
    const since = result.ok ? result.value : [];
    for (const { label } of since) labels.add(label);
    const [first] = since;
    if (result.ok && first === undefined)
      missing.push(
        `repo${result.repoIndex} has no backup that began after the copy: pgbackstop backup --repo=${result.repoIndex}`,
      );
    return { repo: result.repoIndex, label: first?.label ?? null };
  });
  const drills = (await loadDrillHistory(repos, ctx)).filter(
    ({ backup, ok }) => ok && backup !== null && labels.has(backup.label),
  );
  const drill = drills.at(-1)?.id ?? null;
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
