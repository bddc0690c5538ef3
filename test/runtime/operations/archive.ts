/** Stores segments in repositories and reads them back, for the tests of the archive commands. */
import { collect, streamOf } from "../../../runtime/base/bytes";
import { sha1Hex } from "../../../runtime/base/hash";
import { compressBytes } from "../../../runtime/format/codec/compress";
import { loadArchiveInfo } from "../../../runtime/repository/infoStore";
import type { PreparedWal } from "../../../runtime/operations/archivePush/prepareWal";
import type { LocalWal } from "../../../runtime/operations/shared/localWal";
import type { Repository } from "../../../runtime/repository/repository";
import { findWal, isSegment, listWal, openWal, putWal } from "../../../runtime/repository/walStore";
import { testContext } from "../../harness/context";
import { CLUSTER, walBytes, walName } from "../repository/support";

/** A server without files in pg_wal that has written as far as any name goes. */
export function emptyWal(over: Partial<LocalWal> = {}): LocalWal {
  return {
    headerCheck: true,
    prepare: async () => null,
    finishedSha1: async () => null,
    listReady: async () => [],
    listDone: async () => [],
    newest: async () => ({ timeline: 99, segment: "F".repeat(16), isFinished: true }),
    ...over,
  };
}

/** A file of pg_wal, as {@link LocalWal.prepare} reads it. */
export function preparedWal(name: string, bytes: Uint8Array): PreparedWal {
  return {
    name,
    sizeBytes: bytes.length,
    sha1: sha1Hex(bytes),
    cluster: CLUSTER,
    fileId: name,
    packed: async (spec) => () => streamOf(compressBytes(bytes, spec)),
  };
}

/** Stores WAL files with the repository's compression and encryption: segment numbers, or names with content. */
export async function store(
  repo: Repository,
  ...files: readonly (number | readonly [string, Uint8Array])[]
): Promise<void> {
  await storeUnder("15-1", repo, ...files);
}

/** The same under another archive id. */
export async function storeUnder(
  archiveId: string,
  repo: Repository,
  ...files: readonly (number | readonly [string, Uint8Array])[]
): Promise<void> {
  const pass = (await loadArchiveInfo(repo)).cipherPass ?? null;
  for (const file of files) {
    const [name, bytes] = typeof file === "number" ? [walName(file), walBytes(file)] : file;
    const compress = isSegment(name) ? repo.compress : { type: "none" as const, level: 0 };
    const packed = compressBytes(bytes, compress);
    const wal = {
      archiveId,
      name,
      sha1: sha1Hex(bytes),
      compressType: compress.type,
      open: () => streamOf(packed),
    };
    await putWal(repo, wal, pass, () => testContext().random.bytes(8));
  }
}

/** Names of all readable WAL files with the right checksum, ascending. */
export async function readable(repo: Repository): Promise<string[]> {
  const pass = (await loadArchiveInfo(repo)).cipherPass ?? null;
  const names: string[] = [];
  for await (const stored of listWal(repo, "15-1")) {
    const bytes = await collect(await openWal(repo, "15-1", stored, pass), 1 << 24);
    if (stored.sha1 === null || stored.sha1 === sha1Hex(bytes)) names.push(stored.name);
  }
  return names.sort();
}

/** The path of a stored segment. */
export async function pathOf(repo: Repository, no: number): Promise<string> {
  const [stored] = await findWal(repo, "15-1", walName(no));
  if (stored === undefined) throw new Error(`${walName(no)} is not stored`);
  return `archive/demo/15-1/${walName(no).slice(0, 16)}/${stored.fileName}`;
}

/** PostgreSQL's history file of a backup that starts in this segment. */
export function labelText(segment: string, label = "pgBackRest backup"): string {
  return [
    `START WAL LOCATION: 0/2000028 (file ${segment})`,
    `STOP WAL LOCATION: 0/2000120 (file ${segment})`,
    "CHECKPOINT LOCATION: 0/2000080",
    "BACKUP METHOD: streamed",
    "BACKUP FROM: primary",
    "START TIME: 2026-11-20 06:40:59 UTC",
    `LABEL: ${label}`,
    "START TIMELINE: 1",
    "STOP TIME: 2026-11-20 06:41:09 UTC",
    "STOP TIMELINE: 1",
    "",
  ].join("\n");
}
