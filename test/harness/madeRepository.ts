/**
 * Creates repositories without a server: info files, manifests and WAL file names of a stanza that is months old, with
 * only a few writes.
 *
 * WAL files and data files have no real content. Everything that retention depends on is real: labels, times, WAL
 * ranges, histories. Stock can read the repository.
 */
import { testContext } from "./context";
import type { BackupHistoryEntry, BackupInfo } from "../../runtime/format/repository/backupInfo";
import { backupInfoEntryOf } from "../../runtime/format/repository/backupInfo";
import { BACKREST_VERSION } from "../../runtime/format/repository/infoFile";
import { labelType } from "../../runtime/format/repository/label";
import { type Manifest, parseManifest } from "../../runtime/format/repository/manifest";
import { saveManifest, saveManifestCopy } from "../../runtime/repository/backupStore";
import type { Retention } from "../../runtime/repository/retention";
import { loadBackupInfo, saveArchiveInfo, saveBackupInfo } from "../../runtime/repository/infoStore";
import { NO_LEASE } from "../../runtime/repository/lease";
import type { Repository } from "../../runtime/repository/repository";
import { sha1Hex } from "../../runtime/base/hash";
import { vectorText } from "../runtime/format/vectors";

export interface MadeBackup {
  readonly label: string;
  readonly prior?: string;
  readonly stoppedAtS?: number;
  /** History id; default 1. */
  readonly dbId?: number;
  /** First and last segment; null for an offline backup. */
  readonly wal: readonly [string, string] | null;
  /** First and last position; absent as in a backup of an old version. */
  readonly lsn?: readonly [string, string];
  readonly pageErrors?: boolean;
  /** True: the backup has only manifest.copy, as if it were still running. */
  readonly unfinished?: boolean;
}

export interface MadeStanza {
  /** PostgreSQL versions by history id, from 1; the last version is current. */
  readonly versions: readonly string[];
  readonly backups: readonly MadeBackup[];
  /**
   * Files below the directory of an archive id, by archive id. Segments get a checksum in their name; other names stay
   * unchanged.
   */
  readonly wal: Readonly<Record<string, readonly string[]>>;
}

/** The retention of a repository without options for it. */
export const KEEP_ALL: Retention = { fullType: "count", archiveType: "full" };
/** The segment size in the generated histories. */
export const MADE_WAL_SIZE_BYTES = 16 * 1024 * 1024;
/** The first version's; each further one's is greater by 1. */
export const SYSTEM_ID = 7_710_141_224_171_239_387n;
/** Long enough for a segment, whose content does not matter here. */
const SEGMENT = new Uint8Array(64);

/** Writes the stanza into a repository that does not have it yet. */
export async function makeStanza(repo: Repository, stanza: MadeStanza): Promise<void> {
  const ctx = testContext();
  const history = stanza.versions.map((pgVersion, index): BackupHistoryEntry => {
    return {
      id: index + 1,
      systemId: SYSTEM_ID + BigInt(index),
      pgVersion,
      catalogVersion: 202209061,
      controlVersion: 1300,
    };
  });
  const info: BackupInfo = {
    backrestVersion: BACKREST_VERSION,
    currentId: history.length,
    history,
    backups: [],
    other: [],
  };
  const cipherPass = repo.cipherPass === null ? {} : { cipherPass: "sub-passphrase" };
  await saveBackupInfo(repo, { ...info, ...cipherPass }, ctx);
  await saveArchiveInfo(
    repo,
    { backrestVersion: BACKREST_VERSION, currentId: history.length, history, other: [], ...cipherPass },
    ctx,
  );
  for (const backup of stanza.backups) {
    const manifest = manifestOf(backup, history);
    const pass = repo.cipherPass === null ? null : "sub-passphrase";
    await repo.storage.put(`backup/${repo.stanza}/${backup.label}/pg_data/PG_VERSION`, Buffer.from("15\n"));
    if (backup.unfinished === true) await saveManifestCopy(repo, manifest, pass, ctx);
    else await putBackup(repo, manifest, pass);
  }
  for (const [archiveId, names] of Object.entries(stanza.wal)) {
    for (const name of names) {
      const isSegment = /^[0-9A-F]{24}(\.partial)?$/.test(name);
      const directory = /^[0-9A-F]{24}/.test(name) ? `${name.slice(0, 16)}/` : "";
      // Programs check what a history file says.
      const bytes = name.endsWith(".history") ? Buffer.from("1\t0/5000000\tno recovery target specified\n") : SEGMENT;
      await repo.storage.put(
        `archive/${repo.stanza}/${archiveId}/${directory}${name}${isSegment ? `-${sha1Hex(SEGMENT)}` : ""}`,
        bytes,
      );
    }
  }
}

/** Saves the manifest of a backup and lists it in backup.info. */
export async function putBackup(repo: Repository, manifest: Manifest, pass: string | null): Promise<void> {
  const ctx = testContext();
  const saveHistory = await saveManifest(repo, manifest, { lease: NO_LEASE, pass }, ctx);
  await saveHistory();
  const info = await loadBackupInfo(repo);
  const backups = [...info.backups.filter((entry) => entry.label !== manifest.label), backupInfoEntryOf(manifest)];
  await saveBackupInfo(
    repo,
    { ...info, backups: backups.sort((left, right) => (left.label < right.label ? -1 : 1)) },
    ctx,
  );
}

/** The entry for `backup` in backup.info. */
export function entryOf(backup: MadeBackup): ReturnType<typeof backupInfoEntryOf> {
  return backupInfoEntryOf(manifestOf(backup, []));
}

export function manifestOf(backup: MadeBackup, history: readonly BackupHistoryEntry[]): Manifest {
  const golden = parseManifest(vectorText("v2.45/plain/full.manifest.gz"), "golden");
  const type = labelType(backup.label);
  const prior = backup.prior ?? backup.label.slice(0, 16);
  const pg = history.find((entry) => entry.id === (backup.dbId ?? 1));
  const { archiveStart: _start, archiveStop: _stop, lsnStart: _lsnStart, lsnStop: _lsnStop, ...rest } = golden;
  const own = backup.label;
  const file = golden.files.find((row) => row.name === "pg_data/PG_VERSION");
  const content = pg === undefined ? "PG_15" : `PG_${pg.pgVersion}`;
  return {
    ...rest,
    paths: golden.paths.map((path) => ({ ...path, name: path.name.replace("PG_15", content) })),
    label: own,
    type,
    ...(type === "full" ? {} : { prior }),
    references: type === "full" ? [own] : [...new Set([own.slice(0, 16), prior, own])],
    ...(backup.wal === null ? {} : { archiveStart: backup.wal[0], archiveStop: backup.wal[1] }),
    ...(backup.lsn === undefined ? {} : { lsnStart: backup.lsn[0], lsnStop: backup.lsn[1] }),
    stoppedAtS: backup.stoppedAtS ?? timeOf(own) + 60,
    startedAtS: timeOf(own),
    copyStartedAtS: timeOf(own),
    pg: {
      ...golden.pg,
      id: backup.dbId ?? 1,
      ...(pg === undefined ? {} : { version: pg.pgVersion, systemId: pg.systemId }),
    },
    options: { ...golden.options, online: backup.wal !== null, compressType: "none" },
    files:
      file === undefined
        ? []
        : [{ ...file, sizeRepoBytes: file.sizeBytes, ...(backup.pageErrors === true ? { checksumPage: false } : {}) }],
  };
}

/** The time in a label, in seconds and taken as UTC. */
function timeOf(label: string): number {
  const [, year, month, day, hour, minute, second] = /(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d).$/.exec(label) ?? [];
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)) / 1000;
}
