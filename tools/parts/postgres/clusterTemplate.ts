/**
 * Data directories for test clusters: `initdb` runs once for each version and arguments; later clusters are copies.
 *
 * A copy gets its own system identifier, in pg_control (with its checksum) and in the first page of each WAL segment,
 * where PostgreSQL compares it ("Reliability and the Write-Ahead Log", "WAL Internals" of the documentation).
 */
import { createHash, randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, readdirSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { crc32c } from "../../../runtime/format/codec/crc32c";
import { parsePgControl } from "../../../runtime/format/page/pgControl";
import { cached, sharedCacheFolder } from "../cache";
import type { PostgresBinaries } from "./postgres";
import { runOk } from "../process";
import { giveTo, type OsUser } from "../users";

/** Long WAL page header: 24 bytes of every page's header, then the system identifier. */
const WAL_SYSTEM_ID_OFFSET = 24;
const CONTROL_SIZE_BYTES = 512;

/** Makes the data directory `dataPath`, owned by `user`, as `initdb` with these arguments would. */
export async function makeDataDirectory(
  binaries: PostgresBinaries,
  user: OsUser,
  dataPath: string,
  initdbArgs: readonly string[],
): Promise<void> {
  const key = createHash("sha256")
    .update(JSON.stringify([binaries.folder, binaries.version, user.uid, initdbArgs]))
    .digest("hex");
  const template = await cached(
    join(sharedCacheFolder(), `cluster-${binaries.version}-${key.slice(0, 12)}`),
    async (scratch) => {
      const folder = join(scratch, "data");
      mkdirSync(folder, { mode: 0o700 });
      giveTo(folder, user);
      await runOk(join(binaries.folder, "initdb"), ["-D", folder, ...initdbArgs], { user, cwd: folder });
    },
  );
  await runOk("cp", ["-a", join(template, "data"), dataPath], { user, cwd: "/" });
  renewSystemId(dataPath);
}

/** Gives a copy of a stopped cluster its own identity. */
export function renewSystemId(dataPath: string): void {
  const systemId = (BigInt(Math.floor(Date.now() / 1000)) << 32n) | BigInt(randomBytes(4).readUInt32LE());
  change(join(dataPath, "global", "pg_control"), CONTROL_SIZE_BYTES, (bytes) => {
    // The checksum's offset differs between versions: it is the first that matches.
    const crcOffset = findChecksum(bytes);
    bytes.writeBigUInt64LE(systemId, 0);
    bytes.writeUInt32LE(crc32c(bytes.subarray(0, crcOffset)), crcOffset);
    parsePgControl(bytes);
  });
  const walPath = join(dataPath, "pg_wal");
  for (const name of readdirSync(walPath).filter((each) => /^[0-9A-F]{24}$/.test(each))) {
    change(
      join(walPath, name),
      WAL_SYSTEM_ID_OFFSET + 8,
      (bytes) => void bytes.writeBigUInt64LE(systemId, WAL_SYSTEM_ID_OFFSET),
    );
  }
}

function findChecksum(control: Buffer): number {
  for (let offset = 200; offset + 4 <= control.length; offset += 4) {
    if (crc32c(control.subarray(0, offset)) === control.readUInt32LE(offset)) return offset;
  }
  throw new Error("pg_control has no matching checksum");
}

function change(file: string, sizeBytes: number, work: (bytes: Buffer) => void): void {
  const handle = openSync(file, "r+");
  try {
    const bytes = Buffer.alloc(sizeBytes);
    readSync(handle, bytes, 0, sizeBytes, 0);
    work(bytes);
    writeSync(handle, bytes, 0, sizeBytes, 0);
  } finally {
    closeSync(handle);
  }
}
