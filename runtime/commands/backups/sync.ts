/**
 * `sync`: copies whole backups with their WAL, and logical dumps, from `--from-repo` to `--to-repo`; exit 104 when some
 * copies failed.
 */
import { fail } from "../../base/errors";
import type { Config } from "../../config/types";
import { sync } from "../../operations/sync/sync";
import type { SyncScope } from "../../operations/sync/syncPlan";
import { loadBackupInfo } from "../../repository/infoStore";
import { type DumpSyncOutcome, syncDumps } from "../../operations/sync/syncDumps";
import { type Lease, NO_LEASE } from "../../repository/lease";
import type { Repository } from "../../repository/repository";
import type { Command, CommandProcess, RepositoryAccess } from "../../process/commandProcess";
import { configuredRetention } from "./expire";

export const syncCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const from = repoOf(proc, "from-repo", config.sync.fromIndex);
  const to = repoOf(proc, "to-repo", config.sync.toRepoKey);
  if (from === to)
    throw fail("optionInvalidValue", `'${to.key}' is not allowed for 'to-repo' option: it is the source of the copy`);
  proc.requireStarted();
  proc.lock("backup", [from, to]);
  const options = { scope: scopeOf(config, to), dryRun: config.dryRun, headerCheck: config.archive.headerCheck };
  // The source is only read. The first sync creates the target's stanza.
  const lease = config.dryRun ? NO_LEASE : await proc.leases.take(to, () => loadBackupInfo(from));
  const copied = await sync(from, to, proc.pool(), { ...options, lease }, ctx);
  const dumps = options.scope.kind === "all" ? await copyDumps(proc, from, to) : { labels: [], problems: [] };
  const problems = [...copied.problems, ...dumps.problems];
  const count = copied.labels.length + copied.walCount + copied.chunkCount + dumps.labels.length;
  if (count === 0 && problems.length === 0) ctx.log.info(`${to.name}: nothing is missing from ${from.name}`);
  if (problems.length > 0) throw fail("command", ["sync could not copy everything:", ...problems].join("\n"));
  return 0;
};

function copyDumps(proc: CommandProcess, from: Repository, to: Repository): Promise<DumpSyncOutcome> {
  const { config, ctx } = proc;
  const takeLease = async (): Promise<Lease> => {
    proc.lock("dump", [to]);
    // The stanza exists by now.
    return proc.dumpLeases.take(to);
  };
  const keep = config.repos.find(({ key }) => key === to.key)?.keepDumps;
  return syncDumps(from, to, { keep, takeLease, dryRun: config.dryRun }, ctx);
}

function repoOf(proc: RepositoryAccess, option: string, key: number | undefined): Repository {
  const repos = proc.repositories();
  const repo = repos.find((candidate) => candidate.key === key);
  if (repo !== undefined) return repo;
  throw fail("optionInvalidValue", `key '${key}' is not valid for '${option}' option`, {
    hint: `Configured repositories: ${repos.map((candidate) => candidate.name).join(", ")}.`,
  });
}

function scopeOf(config: Config, to: Repository): SyncScope {
  const {
    set,
    sync: { latest },
  } = config;
  if (set !== undefined && latest) throw fail("optionInvalid", "--latest and --set cannot be used together");
  if (set !== undefined) return { kind: "set", label: set };
  return latest ? { kind: "latest" } : { kind: "all", retention: configuredRetention(config, to) };
}
