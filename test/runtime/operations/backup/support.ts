/** Runs a complete backup on given storages: real scan, copy and finish, with a fake server. */
import type { Context } from "../../../../runtime/base/context";
import { pageChecksum } from "../../../../runtime/format/page/pageChecksum";
import { formatLsn } from "../../../../runtime/format/wal/walSegment";
import { backup, type BackupOptions, type BackupOutcome } from "../../../../runtime/operations/backup/backup";
import { inlinePool, type JobPool } from "../../../../runtime/operations/shared/jobs";
import type { BackupStop, ServerFacts, Session } from "../../../../runtime/postgres/session";
import type { Lease } from "../../../../runtime/repository/lease";
import type { Repository } from "../../../../runtime/repository/repository";
import { testLease } from "../../../harness/leases";
import { walName } from "../../repository/support";

export interface ServerAnswers {
  readonly facts?: Partial<ServerFacts>;
  readonly stop?: Partial<BackupStop>;
  readonly onStop?: () => void | Promise<void>;
  /** Called with the manifest name of each file before its copy. */
  readonly onCopy?: (name: string) => void;
}

/** A server on `dataDirectory` whose backups start in segment 3 and stop in segment 4. */
export function server(
  dataDirectory: string,
  ctx: Context,
  answers: ServerAnswers = {},
): Session & { readonly asked: string[] } {
  const asked: string[] = [];
  const answer =
    <T>(name: string, value: () => T | Promise<T>) =>
    async (): Promise<T> => {
      asked.push(name);
      return value();
    };
  const facts: ServerFacts = {
    version: "15",
    versionNum: 150020,
    dataDirectory,
    archiveMode: "on",
    archiveCommand: "pgbackrest archive-push %p",
    inRecovery: false,
    ...answers.facts,
  };
  const fake = {
    asked,
    facts: answer("facts", () => facts),
    inRecovery: async () => facts.inRecovery,
    nowMs: async () => ctx.clock.nowMs(),
    nowS: async () => Math.floor(ctx.clock.nowMs() / 1000),
    takeBackupLock: answer("lock", () => undefined),
    currentWalName: answer("current", () => walName(3)),
    switchWal: answer("switch", () => walName(3)),
    startBackup: answer("start", () => ({ lsn: formatLsn(0x300028n), walName: walName(3) })),
    stopBackup: answer("stop", async () => {
      await answers.onStop?.();
      return {
        lsn: formatLsn(0x400100n),
        walName: walName(4),
        backupLabel: "START WAL LOCATION: 0/300028\n",
        tablespaceMap: "",
        ...answers.stop,
      };
    }),
    query: async () => ({
      rows: ["config_file", "hba_file", "ident_file"].map((name) => ({ name, setting: `${dataDirectory}/${name}` })),
    }),
    listDatabases: async () => [
      { name: "postgres", id: 5, lastSystemId: 4 },
      { name: "template1", id: 1, lastSystemId: 4 },
    ],
    listTablespaces: async () => [{ id: 16384, name: "ts1" }],
  };
  // A real session needs a connection. The fake answers all queries of a backup.
  return fake as typeof fake & Session;
}

export const OPTIONS: BackupOptions = {
  type: "full",
  online: true,
  force: false,
  backupStandby: "n",
  startFast: true,
  delta: false,
  resume: true,
  archiveCopy: false,
  manifestSaveThresholdBytes: 1024 * 1024 * 1024,
  archiveCheck: false,
  archiveModeCheck: true,
  archiveCommandContains: "pgbackrest",
  slot: null,
  archiveTimeoutMs: 5000,
  checksumPage: undefined,
  checksumPageError: false,
  pageHeaderCheck: true,
  exclude: [],
  annotations: {},
  bufferSizeBytes: 1024 * 1024,
  processMax: 2,
};

export function runBackup(
  repos: readonly Repository[],
  dataDirectory: string,
  ctx: Context,
  more: Partial<BackupOptions> = {},
  answers: ServerAnswers = {},
  leaseOf: (repo: Repository) => Promise<Lease> = async () => testLease(),
): Promise<BackupOutcome> {
  const pool = inlinePool(new Map(repos.map((repo) => [repo.key, repo])), ctx, 2);
  const watched: JobPool = {
    ...pool,
    run: (job) => {
      if (job.kind === "copyBatch") for (const file of job.files) answers.onCopy?.(file.name);
      return pool.run(job);
    },
  };
  return backup(
    repos,
    {
      lease: leaseOf,
      servers: [{ key: 1, dataDirectory, connect: async () => server(dataDirectory, ctx, answers) }],
      pool: watched,
      users: { userName: () => "postgres", groupName: () => "postgres", findUid: () => null, findGid: () => null },
      onProgress: () => {},
    },
    { ...OPTIONS, ...more },
    ctx,
  );
}

const PAGE_SIZE_BYTES = 8192;

/** Pages with valid checksums, no two alike. */
export function pages(count: number): Buffer {
  const bytes = Buffer.alloc(count * PAGE_SIZE_BYTES, 7);
  for (let no = 0; no < count; no++) changePage(bytes, no, no);
  return bytes;
}

/** Another content of a page, with a valid checksum. */
export function changePage(file: Buffer, no: number, content: number): void {
  const page = file.subarray(no * PAGE_SIZE_BYTES, (no + 1) * PAGE_SIZE_BYTES);
  page.writeUInt32LE(content, 100);
  page.writeUInt16LE(pageChecksum(page, no), 8);
}
