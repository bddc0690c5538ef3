/** Repositories in memory, WAL segments of 1 MiB and data directories for the tests of repositories and operations. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import type { CompressSpec } from "../../../runtime/format/codec/compress";
import { imageOf, type PgControl, parsePgControl } from "../../../runtime/format/page/pgControl";
import type { ClusterIdentity } from "../../../runtime/operations/shared/identity";
import type { Repository } from "../../../runtime/repository/repository";
import type { Retention } from "../../../runtime/repository/retention";
import type { Storage } from "../../../runtime/storage/storage";
import { MemoryStorage } from "../../harness/doubles/storages";
import { vectorBytes } from "../format/vectors";

export const STANZA = "demo";
export const WAL_SIZE_BYTES = 1024 * 1024;
const CONTROL_BYTES = vectorBytes("pg_control.pg15.first512.bin");
/** The cluster of the PostgreSQL 15 golden files, with 1 MiB segments. */
export const CONTROL: PgControl = { ...parsePgControl(CONTROL_BYTES), walSegmentSizeBytes: WAL_SIZE_BYTES };
export const OTHER_CONTROL: PgControl = parsePgControl(vectorBytes("pg_control.pg18.first512.bin"));
export const CLUSTER: ClusterIdentity = { version: CONTROL.pgVersion, systemId: CONTROL.systemId };

export interface RepositoryOptions {
  readonly storage?: Storage;
  readonly pass?: string;
  readonly compress?: CompressSpec;
  readonly bundle?: Repository["bundle"];
  readonly block?: Repository["block"];
  readonly hardLinks?: boolean;
  readonly latestLink?: boolean;
  readonly retention?: Retention;
}

/** A repository over `storage`, by default an empty one in memory. A passphrase encrypts it. */
export function repository(key: number, options: RepositoryOptions = {}): Repository {
  return {
    key,
    name: `repo${key}`,
    storage: options.storage ?? new MemoryStorage({ name: `memory${key}` }),
    stanza: STANZA,
    cipherType: options.pass === undefined ? "none" : "aes-256-cbc",
    cipherPass: options.pass ?? null,
    compress: options.compress ?? { type: "none", level: 0 },
    bundle: options.bundle ?? null,
    block: options.block ?? null,
    hardLinks: options.hardLinks ?? false,
    latestLink: options.latestLink ?? false,
    ...(options.retention === undefined ? {} : { retention: options.retention }),
  };
}

/** Segment `seed` with a real header of the cluster at that position, and content that depends on it. */
export function walBytes(seed: number, systemId: bigint = CLUSTER.systemId): Uint8Array {
  const bytes = Buffer.alloc(WAL_SIZE_BYTES, seed % 251);
  bytes.set(vectorBytes("wal-header.pg15.first512.bin"));
  bytes.writeBigUInt64LE(BigInt(seed) * BigInt(WAL_SIZE_BYTES), 8);
  bytes.writeBigUInt64LE(systemId, 24);
  bytes.writeUInt32LE(WAL_SIZE_BYTES, 32);
  bytes.writeUInt32LE(seed, 600);
  return bytes;
}

/** `00000001000000000000000A` for 10. */
export function walName(no: number, timeline = 1): string {
  const digits = (value: number): string => value.toString(16).toUpperCase().padStart(8, "0");
  return `${digits(timeline)}${digits(Math.floor(no / 4096))}${digits(no % 4096)}`;
}

/** A folder that is removed when the running test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "pgb-unit-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Creates `pg_wal` with these segments. Each one has a `.ready` file, and its number as the seed. */
export function makeWalDirectory(folder: string, segmentNos: readonly number[]): string {
  const directory = join(folder, "pg_wal");
  mkdirSync(join(directory, "archive_status"), { recursive: true });
  for (const no of segmentNos) addWal(directory, walName(no), walBytes(no));
  return directory;
}

export function addWal(directory: string, name: string, bytes: Uint8Array): void {
  writeFileSync(join(directory, name), bytes);
  writeFileSync(join(directory, "archive_status", `${name}.ready`), "");
}

/** Creates files (text or bytes), links (`-> target`) and directories (names with a trailing slash) below `folder`. */
export function makeTree(folder: string, tree: Readonly<Record<string, string | Uint8Array>>): void {
  for (const [name, content] of Object.entries(tree)) {
    const path = join(folder, name);
    mkdirSync(name.endsWith("/") ? path : dirname(path), { recursive: true });
    if (name.endsWith("/")) continue;
    if (typeof content === "string" && content.startsWith("-> ")) symlinkSync(content.slice(3), path);
    else writeFileSync(path, content, { mode: 0o600 });
  }
}

/** A minimal data directory for backups: pg_control, PG_VERSION and tables. */
export function makeDataDirectory(folder: string, more: Readonly<Record<string, string | Uint8Array>> = {}): string {
  const directory = join(folder, "data");
  makeTree(directory, {
    PG_VERSION: "15\n",
    "postgresql.conf": "# nothing\n",
    "base/1/PG_VERSION": "15\n",
    "base/1/1259": Buffer.alloc(16384),
    "base/5/16384": Buffer.alloc(8192),
    "base/5/16385": "",
    "global/pg_control": imageOf(CONTROL_BYTES),
    "pg_wal/archive_status/": "",
    "pg_notify/": "",
    ...more,
  });
  return directory;
}
