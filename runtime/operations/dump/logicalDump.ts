/**
 * `dump`: pg_dump of each database and pg_dumpall of what they share, each read once and written into every repository
 * at the same time. A repository that fails leaves the run with its error; the others finish, and the outcome says
 * which. If a program of PostgreSQL fails, no repository gets a dump.
 *
 * Each database is dumped in a snapshot of its own, so two databases are not of the same moment.
 */
import { shownText } from "../../base/bytes";
import type { Context } from "../../base/context";
import { assert, toBackupError } from "../../base/errors";
import { perRepo, type RepoResult } from "../../base/parallel";
import { formatSize } from "../../base/units";
import {
  type DumpContent,
  type DumpedDatabase,
  dumpFileName,
  type DumpManifest,
  GLOBALS_FILE,
} from "../../format/repository/dumpManifest";
import { type DumpPrograms, programOutput } from "../../postgres/programs";
import type { Session } from "../../postgres/session";
import { publishDump, removeDump } from "../../repository/dumpStore";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Lease } from "../../repository/lease";
import { newSubPass, type Repository } from "../../repository/repository";
import { drillId } from "../drill/record";
import { checkArchive, type ClusterIdentity } from "../shared/identity";
import {
  chooseDatabases,
  databaseCommand,
  globalsCommand,
  requireDumpPrograms,
  type SourceDatabase,
} from "./dumpedDatabases";
import { removeRemains } from "./dumpRemains";
import { expireDumps, type KeepDumps } from "./keepDumps";
import { type DumpTarget, DumpWriter, type Written } from "./dumpWriter";

/** What is dumped. */
export interface DumpedServer {
  readonly session: Session;
  /** The server's, where the programs run. */
  readonly address: Session["address"];
  readonly programs: DumpPrograms;
  readonly cluster: ClusterIdentity;
  readonly versionNum: number;
  /** False if it may not read passwords of roles. */
  readonly isSuperuser: boolean;
}

export interface DumpDeps {
  /** Called once for each repository. A repository whose call throws leaves the run. */
  readonly lease: (repo: Repository) => Promise<Lease>;
  readonly openServer: () => Promise<DumpedServer>;
  /** Which dumps a repository keeps; undefined keeps all. */
  readonly keep: (repo: Repository) => KeepDumps | undefined;
}

export interface DumpOptions {
  /** Names of databases; empty means all that allow connections. */
  readonly databases: readonly string[];
  /** A stored file of this size is the last one that grows: the stream goes on in a new one. */
  readonly partSizeBytes?: number;
}

const SECOND_MS = 1000;

interface Source extends DumpedServer {
  readonly databases: readonly SourceDatabase[];
}

interface Dumped {
  readonly globals: Written;
  readonly databases: readonly (SourceDatabase & { readonly written: Written })[];
}

/** The dump's label in each repository that has it. */
export async function logicalDump(
  repos: readonly Repository[],
  deps: DumpDeps,
  { databases, partSizeBytes }: DumpOptions,
  ctx: Context,
): Promise<RepoResult<string>[]> {
  const server = await deps.openServer();
  const source: Source = { ...server, databases: await chooseDatabases(server.session, databases) };
  await requireDumpPrograms(source.programs);
  const { cluster, session, versionNum } = source;
  const startedAtMs = await session.nowMs();
  // After hours without a query a network may have dropped the session.
  const beganMs = ctx.clock.nowMs();
  const label = drillId(startedAtMs, ctx.random.bytes(4));
  const opened = await perRepo(repos, (repo) => openTarget(repo, deps, cluster, ctx));
  const writer = new DumpWriter(opened, { directory: label, partSizeBytes }, ctx);
  try {
    writer.requireOne();
    const dumped = await dumpAll(source, writer, ctx);
    const common = {
      label,
      startedAtS: Math.floor(startedAtMs / SECOND_MS),
      stoppedAtS: Math.floor((startedAtMs + ctx.clock.nowMs() - beganMs) / SECOND_MS),
      pgVersion: cluster.version,
      versionNum,
      systemId: cluster.systemId,
      format: "custom",
    } as const;
    const published = await perRepo(writer.alive, async ({ cipherPass, lease, repo }) => {
      await publishDump(repo, { ...common, ...contentsOf(dumped, repo.key), cipherPass }, lease, ctx);
      ctx.log.info(`${repo.name}: new dump label = ${label}`);
      await expireDumps(repo, label, { keep: deps.keep(repo), lease }, ctx);
    });
    for (const result of published) if (!result.ok) writer.leave(result.repoIndex, result.error);
  } catch (error) {
    // Nothing was published yet.
    await removeOwn(writer.alive, label, ctx);
    throw error;
  }
  return writer.results();
}

/** @throws fileMissing without a stanza, archiveMismatch (44) for another cluster's, lockAcquire (50) */
async function openTarget(
  repo: Repository,
  { lease: leaseOf }: DumpDeps,
  cluster: ClusterIdentity,
  ctx: Context,
): Promise<DumpTarget> {
  checkArchive(repo, await loadArchiveInfo(repo), cluster);
  const lease = await leaseOf(repo);
  await removeRemains(repo, lease, ctx);
  return { key: repo.key, repo, lease, cipherPass: repo.cipherPass === null ? null : newSubPass(ctx) };
}

async function dumpAll(
  { address, databases, isSuperuser, programs }: Source,
  writer: DumpWriter,
  ctx: Context,
): Promise<Dumped> {
  const dump = async (fileName: string, what: string, command: readonly string[]): Promise<Written> => {
    const written = await writer.write(fileName, programOutput(command, ctx.signal));
    const [content] = written.values();
    ctx.log.info(`dumped ${what} (${formatSize(content?.sizeBytes ?? 0)})`);
    return written;
  };
  const globals = await dump(GLOBALS_FILE, "roles and tablespaces", globalsCommand(programs, address, isSuperuser));
  const dumped: (SourceDatabase & { readonly written: Written })[] = [];
  for (const { encoding, name } of databases) {
    const command = databaseCommand(programs, address, name);
    dumped.push({ name, encoding, written: await dump(dumpFileName(name), `database '${shownText(name)}'`, command) });
  }
  return { globals, databases: dumped };
}

/** What one repository has. */
function contentsOf({ databases, globals }: Dumped, key: number): Pick<DumpManifest, "databases" | "globals"> {
  const contentOf = (written: Written): DumpContent => {
    const content = written.get(key);
    assert(content !== undefined, `repo${key} has no content of a file, and did not fail`);
    return content;
  };
  return {
    globals: contentOf(globals),
    databases: databases.map(
      ({ encoding, name, written }): DumpedDatabase => ({ name, encoding, ...contentOf(written) }),
    ),
  };
}

/** What is left after a signal to end, or where removal fails, the next dump removes. */
async function removeOwn(targets: readonly DumpTarget[], label: string, ctx: Context): Promise<void> {
  await Promise.all(
    targets.map(({ repo }) =>
      removeDump(repo, label).catch((error: unknown) =>
        ctx.log.debug(`${repo.name}: unable to remove the remains of dump ${label}: ${toBackupError(error).message}`),
      ),
    ),
  );
}
