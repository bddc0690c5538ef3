/**
 * The stanza that an attack drill attacks: stanza-create, WAL and a full backup by the code that writes production's
 * stanza, then a restore from the past, compared byte by byte. Its content is synthetic, so the drill needs neither
 * PostgreSQL nor production's data: it proves what survives in the bucket, while other drills start servers.
 */
import type { AccountIds } from "../../local/actAs";
import { mkdir, readdir, readFile, writeFile } from "../../local/nodeFiles";
import { dirname } from "node:path";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { imageOf, type PgControl, renderPgControl } from "../../format/page/pgControl";
import { renderWalHeader } from "../../format/wal/walHeader";
import { lsnOfSegment } from "../../format/wal/walSegment";
import type { UserNames } from "../../local/users";
import { NO_LEASE } from "../../repository/lease";
import type { Repository } from "../../repository/repository";
import { archiveGet } from "../archiveGet/archiveGet";
import { WalPreparer } from "../archivePush/prepareWal";
import { PushTarget } from "../archivePush/pushWal";
import { backup } from "../backup/backup";
import { restore } from "../restore/restore";
import { inlinePool } from "../shared/jobs";
import { combinedError } from "../shared/results";
import { stanzaCreate } from "../stanza/stanzaCreate";

export interface AttackStanza {
  /** The cluster's files and WAL as they must come back. */
  readonly source: string;
  readonly wal: string;
  readonly control: PgControl;
}

export interface AttackStanzaDeps {
  readonly users: UserNames;
  readonly self: AccountIds;
}

export interface Compared {
  readonly sizeBytes: number;
  readonly fileCount: number;
  readonly walCount: number;
}

const MIB = 1024 * 1024;
const VERSION = "18";
const WAL_NAMES = ["000000010000000000000001", "000000010000000000000002", "000000010000000000000003"];
/** Tables by size: one to bundle, one that is larger, and an empty one. */
const TABLES = { "base/1/1259": 16 * 1024, "base/1/2619": 300 * 1024, "base/1/2620": 0 };
const WAL_DATA_SIZE_BYTES = 64 * 1024;

/** The cluster's files below `folder`, without a server. */
export async function makeAttackStanza(folder: string, { random }: Pick<Context, "random">): Promise<AttackStanza> {
  const control: PgControl = {
    systemId: Buffer.from(random.bytes(8)).readBigUInt64LE(),
    pgVersion: VERSION,
    controlVersion: 1800,
    catalogVersion: 202506291,
    checkpointLsn: BigInt(MIB),
    redoLsn: BigInt(MIB),
    timeline: 1,
    pageSizeBytes: 8192,
    walSegmentSizeBytes: MIB,
    dataChecksums: false,
  };
  const stanza = { source: `${folder}/source`, wal: `${folder}/wal`, control };
  const files: Record<string, Uint8Array | string> = {
    PG_VERSION: `${VERSION}\n`,
    "global/pg_control": imageOf(renderPgControl(control)),
    "base/1/PG_VERSION": `${VERSION}\n`,
    ...Object.fromEntries(Object.entries(TABLES).map(([name, sizeBytes]) => [name, random.bytes(sizeBytes)])),
  };
  for (const name of ["pg_wal", "pg_tblspc"]) await mkdir(`${stanza.source}/${name}`, { recursive: true, mode: 0o700 });
  for (const [name, content] of Object.entries(files)) {
    const path = `${stanza.source}/${name}`;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(path, content, { mode: 0o600 });
  }
  await mkdir(stanza.wal, { mode: 0o700 });
  const { pgVersion, systemId, timeline } = control;
  for (const name of WAL_NAMES) {
    const lsn = lsnOfSegment(name, MIB);
    const segment = new Uint8Array(MIB);
    segment.set(random.bytes(WAL_DATA_SIZE_BYTES), 8192);
    segment.set(renderWalHeader({ pgVersion, timeline, lsn, systemId, segmentSizeBytes: MIB }));
    await writeFile(`${stanza.wal}/${name}`, segment, { mode: 0o600 });
  }
  return stanza;
}

/** Writes the stanza, its WAL and one full backup. `repo` is the run's own: it needs neither lock nor lease. */
export async function writeAttackStanza(
  repo: Repository,
  { control, source, wal }: AttackStanza,
  deps: AttackStanzaDeps,
  ctx: Context,
): Promise<void> {
  const cluster = { version: control.pgVersion, systemId: control.systemId };
  const failure = combinedError("stanza-create", await stanzaCreate([repo], control, ctx));
  if (failure !== null) throw failure;
  const preparer = new WalPreparer({ walDirectory: wal, headerCheck: true }, cluster);
  const target = new PushTarget(repo, ctx);
  const archive = await target.open(cluster);
  for (const name of WAL_NAMES) await target.push(await preparer.prepare(name), archive);
  const { results } = await backup(
    [repo],
    {
      lease: async () => NO_LEASE,
      servers: [{ key: 1, dataDirectory: source, connect: () => Promise.reject(fail("dbConnect", "no server")) }],
      pool: inlinePool(new Map([[repo.key, repo]]), ctx, 1),
      users: deps.users,
      onProgress: () => {},
    },
    OFFLINE,
    ctx,
  );
  const error = combinedError("backup", results);
  if (error !== null) throw error;
}

/** Restores backup and WAL into `folder`, and compares every byte. @throws checksum for the first difference */
export async function restoreAttackStanza(
  repo: Repository,
  { control, source, wal }: AttackStanza,
  folder: string,
  deps: AttackStanzaDeps,
  ctx: Context,
): Promise<Compared> {
  const dataDirectory = `${folder}/data`;
  const pool = inlinePool(new Map([[repo.key, repo]]), ctx, 1);
  const options = { ...RESTORE, dataDirectory, spoolPath: `${folder}/spool`, self: deps.self };
  const { sizeBytes } = await restore([repo], { pool, users: deps.users }, options, ctx);
  const names = await filesOf(source);
  const restored = await filesOf(dataDirectory);
  const more = restored.find((name) => !names.includes(name));
  if (more !== undefined) throw fail("checksum", `the restored backup has a file '${more}' that was never written`);
  for (const name of names) await requireSame(`${source}/${name}`, `${dataDirectory}/${name}`, name);
  const cluster = { version: control.pgVersion, systemId: control.systemId };
  for (const walName of WAL_NAMES) {
    const destination = `${folder}/${walName}`;
    const isThere = await archiveGet([repo], { walName, destination, cluster }, ctx);
    if (!isThere) throw fail("fileMissing", `WAL segment ${walName} is not in the archive of before`);
    await requireSame(`${wal}/${walName}`, destination, walName);
  }
  return { sizeBytes, fileCount: names.length, walCount: WAL_NAMES.length };
}

async function filesOf(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(directory.length + 1))
    .sort();
}

async function requireSame(expected: string, path: string, name: string): Promise<void> {
  const [before, then] = [await readFile(expected), await readFile(path).catch(() => null)];
  if (then === null) throw fail("fileMissing", `'${name}' did not come back`);
  if (!before.equals(then)) throw fail("checksum", `'${name}' came back with other content`);
}

const OFFLINE = {
  type: "full",
  online: false,
  force: false,
  backupStandby: "n",
  startFast: true,
  delta: false,
  resume: false,
  archiveCopy: false,
  archiveCheck: false,
  archiveModeCheck: false,
  slot: null,
  archiveCommandContains: "",
  archiveTimeoutMs: 60_000,
  manifestSaveThresholdBytes: MIB,
  checksumPage: false,
  checksumPageError: false,
  pageHeaderCheck: true,
  exclude: [],
  annotations: {},
  bufferSizeBytes: MIB,
  processMax: 1,
} as const;

const RESTORE = {
  tablespaceMap: {},
  tablespaceMapAll: undefined,
  linkMap: {},
  linkAll: false,
  set: undefined,
  server: null,
  delta: false,
  force: false,
  databaseInclude: [],
  databaseExclude: [],
  checksumPageError: false,
  recovery: {
    type: "none",
    target: undefined,
    targetAction: "pause",
    targetExclusive: false,
    targetTimeline: undefined,
    archiveMode: "preserve",
    restoreCommand: "",
    options: {},
  },
} as const;
