/** The parsers that read bytes from outside, with seeds from golden files and from the project's own renderers. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parseCron } from "../../components/plan/schedule/schedule";
import { concatBytes, textOf, utf8 } from "../../runtime/base/bytes";
import { type BackupError, isError } from "../../runtime/base/errors";
import {
  findOwnParameters,
  findReplicaParameters,
  findSourceParameters,
  parseObject,
} from "../../runtime/cnpg/kubernetes/clusterObject";
import { serviceOf } from "../../runtime/cnpg/grpc/protocol";
import { parseIni } from "../../runtime/config/ini";
import { parseSettings } from "../../runtime/config/settings";
import { parseArchiveInfo, renderArchiveInfo } from "../../runtime/format/repository/archiveInfo";
import { parseBackupInfo, renderBackupInfo } from "../../runtime/format/repository/backupInfo";
import { parseBlockMap, renderBlockMap } from "../../runtime/format/repository/blockMap";
import type { Pieces } from "../../runtime/format/codec/codec";
import { decryptBytes, encryptBytes } from "../../runtime/format/codec/cipher";
import {
  type CompressType,
  compressBytes,
  createDecompressor,
  decompressBytes,
  decompressInto,
} from "../../runtime/format/codec/compress";
import {
  isInvalidDatabase,
  parseClassRow,
  parseFileMap,
  parseNamedRow,
  rowsOf,
} from "../../runtime/format/page/heapPage";
import {
  type DumpManifest,
  dumpParts,
  parseDumpManifest,
  renderDumpManifest,
} from "../../runtime/format/repository/dumpManifest";
import { parseInfo } from "../../runtime/format/repository/infoFile";
import { parseJson, renderJson } from "../../runtime/format/repository/json";
import { fullLabelOf, isLabel, labelType } from "../../runtime/format/repository/label";
import {
  leaseTermOf,
  leaseTermPath,
  parseLeaseFloor,
  parseLeaseName,
  parseLeaseTerm,
  renderLeaseFloor,
  renderLeaseTerm,
} from "../../runtime/format/repository/leaseFile";
import { decompressLz4Block } from "../../runtime/format/codec/lz4";
import { parseManifest, renderManifest } from "../../runtime/format/repository/manifest";
import { imageOf, invalidateCheckpoint, parsePgControl } from "../../runtime/format/page/pgControl";
import { decompressPglz } from "../../runtime/format/page/pglz";
import { backupPath, walPath } from "../../runtime/format/repository/repoPath";
import {
  chunkFileName,
  joinChunk,
  parseChunkHead,
  parseChunkName,
  renderChunkHead,
} from "../../runtime/format/wal/streamChunk";
import { openSuperBlock, superBlockCompressor } from "../../runtime/format/repository/superBlock";
import { parseHistory } from "../../runtime/format/wal/timeline";
import { checkpointOf, isCheckpoint } from "../../runtime/format/wal/walCheckpoint";
import { parseWalHeader } from "../../runtime/format/wal/walHeader";
import { insertedColumns, parseRowChange, updatedColumns } from "../../runtime/format/wal/walHeap";
import { type WalRecord, WalReader } from "../../runtime/format/wal/walReader";
import { pageOf, parseRecord } from "../../runtime/format/wal/walRecord";
import {
  nextSegment,
  parseArchivedName,
  parseLsn,
  parseWalName,
  segmentRange,
} from "../../runtime/format/wal/walSegment";
import { parseTransactionEnd } from "../../runtime/format/wal/walTransaction";
import { findLockHolder } from "../../runtime/local/lockFile";
import { loadRuns } from "../../runtime/local/runRecords";
import { stockSpool } from "../../runtime/local/spool";
import { loadStreamState } from "../../runtime/local/streamState";
import { parseTargets } from "../../runtime/notify/targets";
import { parseAttempt, renderAttempt } from "../../runtime/format/repository/attemptFile";
import { parseDrill, parseDrillFileName, renderDrill } from "../../runtime/operations/drill/record";
import { parseGuard, parseMigration } from "../../packages/migration/runtime/marks";
import { findServerFiles } from "../../runtime/operations/shared/serverFiles";
import {
  describeKey,
  fingerprintOf,
  findFingerprint,
  keyTypeOf,
  listKnownKeys,
} from "../../runtime/storage/sftp/hostKey";
import { parseXml } from "../../runtime/storage/objectStore/xml";
import { MemoryStorage } from "../harness/doubles/storages";
import { BLOCK_VECTORS, blockVector } from "../runtime/format/blockVectors";
import { sampleBytes, vectorBytes, vectorText } from "../runtime/format/vectors";
import { repository } from "../runtime/repository/support";
import type { Target } from "./fuzzer";

const same = (left: unknown, right: unknown, what: string): void => {
  const text = (value: unknown): string =>
    JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? `${inner}n` : inner)) ?? "";
  if (text(left) !== text(right))
    throw new Error(`${what}: ${text(left).slice(0, 300)} and ${text(right).slice(0, 300)}`);
};
const json = (value: unknown): Uint8Array => utf8(JSON.stringify(value));

/** Replaces the checksum in the text with the one that its parser expects. */
function checksummed(bytes: Uint8Array): Uint8Array {
  const text = textOf(bytes);
  try {
    parseInfo(text, "m");
  } catch (error) {
    const [, actual, expected] =
      /actual '([0-9a-f]{40})' but expected '([^']*)'/.exec(error instanceof Error ? error.message : "") ?? [];
    if (actual !== undefined && expected !== undefined && expected !== "")
      return utf8(text.replaceAll(expected, actual));
  }
  return bytes;
}

/** A vector's text with few of its files and their directories: mutations of short inputs hit more that matters. */
function short(path: string, keepRows: number): Uint8Array {
  let section = "";
  const kept = new Set<string>();
  const counts = new Map<string, number>();
  const lines = vectorText(path).split("\n");
  const isKept = (line: string): boolean => {
    if (line.startsWith("[")) section = line;
    if (section !== "[target:file]" || line === section || line === "") return true;
    const group = line.startsWith("pg_tblspc")
      ? "tablespace"
      : line.includes('"reference"')
        ? "reference"
        : line.includes('"bim"')
          ? "blocks"
          : "plain";
    counts.set(group, (counts.get(group) ?? 0) + 1);
    if ((counts.get(group) ?? 0) > keepRows) return false;
    const name = line.slice(0, line.indexOf("="));
    for (let slash = name.lastIndexOf("/"); slash > 0; slash = name.lastIndexOf("/", slash - 1))
      kept.add(name.slice(0, slash));
    return true;
  };
  const few = lines.filter(isKept);
  section = "";
  const isWanted = (line: string): boolean => {
    if (line.startsWith("[")) section = line;
    return section !== "[target:path]" || line === section || line === "" || kept.has(line.slice(0, line.indexOf("=")));
  };
  return checksummed(utf8(few.filter(isWanted).join("\n")));
}

const INFO_TOKENS = [
  ...'[target:file]\n [target:path]\n [target:link]\n [backup:target]\n [db]\n [db:history]\n =[ ={} ="" =true =null =-1 =1e9 =[[ ={"a": \n\n .. /../ pg_data/ pg_tblspc/'.split(
    " ",
  ),
  ...'"size": "mode":"0600" "reference": "bni":1 "bi":1 "bim":9 "checksum-page-error":[1,[2,3]] "user":false "destination":"/x" "__proto__": "tablespace-id":"1" "file":"x"'.split(
    " ",
  ),
  ..."9007199254740993 0123 1.5 99999999999999999999 \\u0000 \u0000 \\".split(" "),
];
const INFO_KINDS = ["format", "checksum"] as const;

const infoTargets: Target[] = [
  {
    name: "manifest",
    seeds: [
      short("v2.45/plain/incr.backup.manifest", 3),
      short("v2.60/block-lz4/incr.manifest.gz", 4),
      short("v2.45/plain/full.manifest.gz", 2),
    ],
    tokens: INFO_TOKENS,
    kinds: INFO_KINDS,
    repair: checksummed,
    run: (bytes) => {
      const manifest = parseManifest(textOf(bytes), "m");
      same(parseManifest(renderManifest(manifest), "again").label, manifest.label, "a manifest that was written again");
    },
  },
  {
    name: "backup.info",
    seeds: [vectorBytes("v2.45/plain/backup.info"), vectorBytes("v2.60/block-lz4/backup.info")],
    tokens: INFO_TOKENS,
    kinds: INFO_KINDS,
    repair: checksummed,
    run: (bytes) => {
      const info = parseBackupInfo(textOf(bytes), "m");
      same(
        parseBackupInfo(renderBackupInfo(info), "again").backups.length,
        info.backups.length,
        "a backup.info that was written again",
      );
    },
  },
  {
    name: "archive.info",
    seeds: [vectorBytes("v2.45/plain/archive.info"), vectorBytes("v2.60/block-lz4/archive.info")],
    tokens: INFO_TOKENS,
    kinds: INFO_KINDS,
    repair: checksummed,
    run: (bytes) => {
      const info = parseArchiveInfo(textOf(bytes), "m");
      same(
        parseArchiveInfo(renderArchiveInfo(info), "again").history,
        info.history,
        "an archive.info that was written again",
      );
    },
  },
  {
    name: "json",
    seeds: [
      json({ a: [1, "x", null, true, { "10": 1 }], b: 2 }),
      utf8("12345678901234567890"),
      utf8('"\\u0000\\n"'),
      utf8(`${"[".repeat(60)}${"]".repeat(60)}`),
    ],
    tokens: ["[", "]", '{"a":', "}", "1e400", "-0", "9007199254740993", '"__proto__":', '"\\ud800"', "1.5"],
    kinds: ["jsonFormat"],
    run: (bytes) => {
      const value = parseJson(textOf(bytes));
      same(parseJson(renderJson(value)), value, "JSON that was written again");
    },
  },
];

/** Unpacks at once, in pieces, and into reused memory. All that succeed must return the same content. */
async function unpack(type: CompressType, bytes: Uint8Array, raw: boolean): Promise<void> {
  const attempt = async (work: () => Uint8Array | Promise<Uint8Array>): Promise<Uint8Array | BackupError> => {
    try {
      return await work();
    } catch (error) {
      if (!isError(error, "format")) throw error;
      return error;
    }
  };
  const whole = await attempt(() => decompressBytes(bytes, type, UNPACKED_MAX, raw));
  const into = await attempt(() => decompressInto(bytes, type, new Uint8Array(UNPACKED_MAX + 1), raw));
  const pieces = await attempt(() => inPieces(bytes, type, raw));
  // zlib and libzstd may accept at once what they refuse in pieces, or the reverse. File checksums decide.
  if (!(whole instanceof Uint8Array)) throw whole;
  if (pieces instanceof Uint8Array) same(Buffer.compare(whole, pieces), 0, "the content whole and in pieces");
  if (into instanceof Uint8Array) same(Buffer.compare(whole, into), 0, "the content whole and in kept memory");
}

const UNPACKED_MAX = 64 * 1024;
const PIECE_SIZE_BYTES = 7;

async function inPieces(bytes: Uint8Array, type: CompressType, raw: boolean): Promise<Uint8Array> {
  const codec = createDecompressor(type, raw);
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  const take = async (pieces: Pieces): Promise<void> => {
    for await (const piece of pieces) {
      parts.push(Buffer.from(piece));
      sizeBytes += piece.length;
      if (sizeBytes > UNPACKED_MAX) throw new TooLong();
    }
  };
  try {
    for (let at = 0; at < bytes.length; at += PIECE_SIZE_BYTES)
      await take(codec.update(bytes.subarray(at, at + PIECE_SIZE_BYTES)));
    await take(codec.finish());
  } catch (error) {
    // In a stream, the caller enforces the limit.
    if (error instanceof TooLong) return decompressBytes(bytes, type, UNPACKED_MAX, raw);
    throw error;
  } finally {
    codec.close();
  }
  return concatBytes(parts);
}

class TooLong extends Error {}

const SAMPLES = [sampleBytes(0), sampleBytes(40), sampleBytes(900), new Uint8Array(3000)];

const codecTargets: Target[] = [
  ...(["gz", "lz4", "zst"] as const).flatMap((type) =>
    [false, true].map(
      (raw): Target => ({
        name: `${type}${raw ? " raw" : ""}`,
        seeds: [...SAMPLES, Buffer.alloc(100_000)].map((sample) => compressBytes(sample, { type, level: 1 }, raw)),
        tokens: [
          Buffer.from("28b52ffd", "hex"),
          Buffer.from("04224d18", "hex"),
          Buffer.from("1f8b08", "hex"),
          Buffer.from("502a4d18", "hex"),
        ],
        kinds: ["format"],
        run: (bytes) => unpack(type, bytes, raw),
      }),
    ),
  ),
  {
    name: "bz2",
    // Each run builds tables for blocks of 100 kB.
    share: 0.2,
    seeds: ["empty", "one", "runs", "values"].map((name) => vectorBytes(`bz2/${name}.level1.bz2`)),
    tokens: [Buffer.from("314159265359", "hex"), Buffer.from("177245385090", "hex"), "BZh1", "BZh9"],
    kinds: ["format"],
    run: (bytes) => unpack("bz2", bytes, false),
  },
  {
    name: "lz4 block",
    seeds: [Buffer.from("1f61010055506161616161", "hex"), Buffer.from("40616263640000", "hex")],
    kinds: ["format"],
    run: (bytes) => {
      for (const sizeBytes of [0, 4, 8192]) decompressEach(() => decompressLz4Block(bytes, sizeBytes));
    },
  },
  {
    name: "pglz",
    seeds: [Buffer.from("00616263646566676801f801", "hex"), Buffer.from("026101010f", "hex")],
    kinds: ["format"],
    run: (bytes) => {
      for (const sizeBytes of [0, 8, 8192]) decompressEach(() => decompressPglz(bytes, sizeBytes));
    },
  },
  {
    name: "encrypted",
    seeds: [
      encryptBytes(sampleBytes(100), "pass", Buffer.alloc(8, 1)),
      encryptBytes(sampleBytes(0), "pass", Buffer.alloc(8, 1), true),
    ],
    tokens: ["Salted__"],
    kinds: ["crypto"],
    run: (bytes) => {
      for (const raw of [false, true]) decompressEach(() => decryptBytes(bytes, "pass", raw), "crypto");
    },
  },
  ...(["none", "gz", "lz4", "zst"] as const).map(
    (type): Target => ({
      name: `super block ${type}`,
      seeds: SAMPLES.slice(0, 4).map((sample) => superBlockCompressor({ type, level: 1 }).compress(sample)),
      kinds: ["format"],
      run: (bytes) => {
        for (const sizeBytes of [1, 40, 900, 3000])
          decompressEach(() =>
            openSuperBlock(
              bytes,
              { sizeBytes },
              { cipherPass: null, compressType: type },
              "s",
              new Uint8Array(sizeBytes + 1),
            ),
          );
      },
    }),
  ),
  {
    name: "block map",
    seeds: BLOCK_VECTORS.slice(0, 4).map((name) => blockVector(name).map),
    kinds: ["format"],
    run: (bytes) => {
      const sizes = { blockSizeBytes: 8192, checksumSizeBytes: 6 };
      const map = parseBlockMap(bytes, sizes, "m");
      same(parseBlockMap(renderBlockMap(map), sizes, "again").blocks, map.blocks, "a map that was written again");
    },
  },
];

/** Accepts a result or the expected error, and rethrows any other error. */
function decompressEach(work: () => unknown, kind: "format" | "crypto" = "format"): void {
  try {
    work();
  } catch (error) {
    if (!isError(error, kind)) throw error;
  }
}

const term = {
  term: 3,
  token: "a".repeat(32),
  domain: "h",
  holder: { host: "h", pid: 1, verb: "backup" },
  renewals: 2,
  state: "held",
} as const;

const dump: DumpManifest = {
  label: "20261120-064059Z-1a2b3c4d",
  startedAtS: 1,
  stoppedAtS: 2,
  pgVersion: "18",
  versionNum: 180_001,
  systemId: 7_710_141_224_171_239_387n,
  format: "custom",
  databases: [{ name: "shop", encoding: "UTF8", sizeBytes: 3, sha256: "0".repeat(64), partSizesBytes: [2, 1] }],
  globals: { sizeBytes: 1, sha256: "f".repeat(64), partSizesBytes: [1] },
  cipherPass: "of the dump",
};

const dumpTarget: Target = {
  name: "dump manifest",
  seeds: [renderDumpManifest(dump)],
  tokens: ["1.5", "-1", "null", "{}", "[]", '""', "..", "/", "\\u0000"],
  kinds: ["format", "jsonFormat"],
  run: (bytes) => {
    const parsed = parseDumpManifest(bytes, "x");
    same(
      renderDumpManifest(parseDumpManifest(renderDumpManifest(parsed), "x")),
      renderDumpManifest(parsed),
      "a manifest",
    );
    for (const name of dumpParts(parsed).keys()) if (!/^[a-z0-9_.=-]+$/.test(name)) throw new Error(`file '${name}'`);
  },
};

const leaseTarget: Target = {
  name: "lease",
  seeds: [
    renderLeaseTerm(term),
    renderLeaseFloor(7),
    leaseTermPath("pgbackstop/demo/lease", term).split("/").at(-1) ?? "",
  ].map(utf8),
  tokens: ["1.5", "-1", "null", "{}", "[]", '"released"', "99999999", "/", ".."],
  kinds: [],
  run: (bytes) => {
    const text = textOf(bytes);
    const parsed = parseLeaseTerm(text);
    if (parsed !== null) same(parseLeaseTerm(renderLeaseTerm(parsed)), parsed, "a term that was written again");
    parseLeaseFloor(text);
    leaseTermOf(text);
    const name = parseLeaseName(text);
    if (name !== null)
      same(leaseTermPath("pgbackstop/demo/lease", name).split("/").at(-1), text, "a name that was written again");
  },
};

export const FORMAT_TARGETS: readonly Target[] = [...infoTargets, ...codecTargets, dumpTarget, leaseTarget];

const SEGMENT_SIZE_BYTES = 1024 * 1024;

/** A segment of 1 MiB that starts with these pages. */
function segmentOf(pages: Uint8Array): Uint8Array {
  const segment = Buffer.alloc(SEGMENT_SIZE_BYTES);
  segment.set(pages.subarray(0, SEGMENT_SIZE_BYTES));
  if (segment.length >= 40) {
    segment.writeUInt32LE(SEGMENT_SIZE_BYTES, 32);
    segment.writeUInt32LE(8192, 36);
  }
  return segment;
}

const WAL_MAJORS = [15, 17, 18, 19] as const;
const walPages = (major: number): Uint8Array =>
  Buffer.from(vectorText0(`wal/pg${major}.segment.gz`)).subarray(0, 3 * 8192);

function vectorText0(path: string): Uint8Array {
  return decompressBytes(vectorBytes(path), "gz", 64 * 1024 * 1024);
}

/** One record of each resource manager and kind, for each version. */
function recordSeeds(): Uint8Array[] {
  const result = new Map<string, Uint8Array>();
  for (const major of WAL_MAJORS) {
    for (const { resourceManager, info, bytes } of new WalReader().read(vectorText0(`wal/pg${major}.segment.gz`))) {
      const key = `${major} ${resourceManager} ${info & 0x70}`;
      if (!result.has(key) && bytes.length < 4096) result.set(key, Buffer.from(bytes));
    }
  }
  return [...result.values()];
}

/** Reads a record and all its content as `find` does. */
function readRecord(record: WalRecord, major: number): void {
  const content = parseRecord(record, major);
  decompressEach(() => parseRowChange(record, content));
  decompressEach(() => parseTransactionEnd(content.main, record.info, record.xid, major));
  if (isCheckpoint(record)) decompressEach(() => checkpointOf(content.main, major));
  parseFileMap(content.main);
  for (const block of content.blocks) {
    if (block.image !== null && block.image !== undefined) {
      const { image } = block;
      decompressEach(() => {
        for (const row of rowsOf(pageOf(image))) readRow(row.columns, major);
      });
    }
    const columns = insertedColumns(block);
    if (columns !== null) readRow(columns, major);
  }
  decompressEach(() => {
    const change = parseRowChange(record, content);
    if (change?.kind === "update") for (const old of [null, sampleBytes(30)]) updatedColumns(change, old);
  });
}

function readRow(columns: Uint8Array, major: number): void {
  parseClassRow(columns, major);
  parseNamedRow(columns);
  isInvalidDatabase(columns, major);
}

export const WAL_TARGETS: readonly Target[] = [
  {
    name: "WAL pages",
    seeds: WAL_MAJORS.map(walPages),
    kinds: ["format", "fileInvalid", "versionNotSupported"],
    sizeBytesMax: 4 * 8192,
    run: (bytes) => {
      const reader = new WalReader();
      const segment = segmentOf(bytes);
      for (let times = 0; times < 2; times++)
        for (const record of reader.read(segment))
          if (record.bytes.length < 24) throw new Error("a record without its header");
    },
  },
  {
    name: "WAL records",
    seeds: recordSeeds(),
    kinds: ["format"],
    sizeBytesMax: 16_384,
    run: (bytes) => {
      if (bytes.length < 24) return;
      const record = { lsn: 1n, xid: 700, resourceManager: bytes[17] as number, info: bytes[16] as number, bytes };
      for (const major of WAL_MAJORS) decompressEach(() => readRecord(record, major));
    },
  },
  {
    name: "WAL header",
    seeds: [vectorBytes("wal-header.pg15.first512.bin"), vectorBytes("wal-header.pg19.first512.bin")],
    kinds: ["format", "fileInvalid", "versionNotSupported"],
    run: (bytes) => void parseWalHeader(bytes),
  },
  {
    name: "pages",
    seeds: [
      Buffer.alloc(8192),
      sampleBytes(8192),
      Buffer.from(`${"00".repeat(12)}2000${"00".repeat(10)}2000800030804000`.padEnd(512, "1"), "hex"),
    ],
    kinds: ["format"],
    sizeBytesMax: 8192,
    run: (bytes) => {
      const page = Buffer.alloc(8192);
      page.set(bytes);
      for (const { columns } of rowsOf(page)) readRow(columns, 18);
      parseFileMap(bytes);
      readRow(bytes, 15);
    },
  },
  {
    name: "pg_control",
    seeds: [vectorBytes("pg_control.pg15.first512.bin"), vectorBytes("pg_control.pg19.first512.bin")],
    kinds: ["format", "fileInvalid", "versionNotSupported", "checksum"],
    run: (bytes) => {
      parsePgControl(bytes);
      parsePgControl(invalidateCheckpoint(imageOf(bytes)).subarray(0, 512));
    },
  },
  {
    name: "names of WAL",
    seeds: [
      "000000010000000000000013",
      "00000002.history",
      `0000000100000000000000FF.partial-${"a".repeat(40)}.gz`,
      "000000010000000000000013-0193f2a1b2c3-00000000-00001000",
    ]
      .concat(["20261120-065325F_20261120-065552I", "0/13000028", "000000010000000000000013.00000028.backup"])
      .map(utf8),
    tokens: ["..", "/", "\0", ".partial", ".history", "-", ".zst", "FFFFFFFF", "\n"],
    kinds: ["format"],
    run: (bytes) => {
      const name = textOf(bytes);
      const names = [
        parseWalName(name),
        parseArchivedName(name),
        parseChunkName(name),
        isLabel(name) ? labelType(fullLabelOf(name)) : null,
      ];
      if (names.some((each) => each !== null)) {
        // An accepted name becomes part of a path, so it must be safe.
        if (!/^[0-9A-Za-z._-]+$/.test(name) || name.includes("..")) throw new Error(`'${name}' was taken for a name`);
        if (isLabel(name)) backupPath("demo", name);
        else walPath("demo", "15-1", name);
      }
      const chunk = parseChunkName(name);
      if (chunk !== null) same(chunkFileName(chunk), name, "a chunk's name");
      decompressEach(() => nextSegment(name, SEGMENT_SIZE_BYTES));
      decompressEach(() => segmentRange("000000010000000000000001", name, SEGMENT_SIZE_BYTES * 16));
      decompressEach(() => parseLsn(name));
    },
  },
  {
    name: "timeline history",
    seeds: [
      utf8("1\t0/5000000\tno recovery target specified\n"),
      utf8("# c\n1\t0/1\tx\n\n2  A/FFFFFFFF  before 2026\n"),
    ],
    tokens: ["\t", "FFFFFFFF/FFFFFFFF", "4294967295", "\n", "#"],
    kinds: ["format"],
    run: (bytes) => void parseHistory(textOf(bytes)),
  },
  {
    name: "streamed chunk",
    seeds: [
      joinChunk(
        { systemId: 7n, timeline: 1, lsn: 1n << 40n, sizeBytes: 8, sha1: "a".repeat(40), compressType: "zst" },
        sampleBytes(8),
      ),
      renderChunkHead({
        systemId: 2n ** 64n - 1n,
        timeline: 2 ** 32 - 1,
        lsn: 0n,
        sizeBytes: 0,
        sha1: "0".repeat(40),
        compressType: "none",
      }),
    ],
    kinds: ["fileInvalid"],
    run: (bytes) => {
      const head = parseChunkHead(bytes);
      same(
        Buffer.from(renderChunkHead(head)).equals(bytes.subarray(0, renderChunkHead(head).length)),
        true,
        "a chunk's head",
      );
    },
  },
];

/** These parsers read files. Every run writes its file into this folder. */
export function localTargets(folder: string): readonly Target[] {
  const location = (name: string): string => {
    const path = join(folder, name);
    mkdirSync(join(path, ".."), { recursive: true });
    return path;
  };
  const paths = {
    lock: location("demo-backup-1.lock"),
    run: location("pgbackstop/demo/runs/backup.json"),
    stream: location("pgbackstop/demo/stream.json"),
    ok: location("archive/demo/out/000000010000000000000013.ok"),
    error: location("archive/demo/in/000000010000000000000013.error"),
  };
  const cluster = {
    spec: {
      plugins: [{ name: "pgbackstop.dev", parameters: { a: "b" } }],
      replica: { source: "x" },
      externalClusters: [{ name: "x" }],
    },
  };
  const drill = {
    version: 1,
    id: "x",
    repo: 1,
    startedAtS: 1,
    ok: true,
    pick: "newest",
    failures: [],
    phases: [],
    checks: [],
  };
  return [
    {
      name: "lock file",
      seeds: [json({ execId: "1-a", pid: 12, sz: 1, szCplt: 2 }), utf8("12\n")],
      kinds: [],
      run: (bytes) => {
        writeFileSync(paths.lock, bytes);
        const holder = findLockHolder(paths.lock);
        if (holder !== null && typeof holder.pid !== "number") throw new Error("a holder without a number");
      },
    },
    {
      name: "records of the spool",
      seeds: [
        json({
          version: 1,
          command: "backup",
          endedAtS: 1,
          exitCode: 0,
          repos: { 1: { ok: true, endedAtS: 1 } },
          succeededAtS: null,
        }),
        json({ version: 1, repos: [] }),
      ],
      tokens: ['"repos":', "[null]", "null", "{}", '"version":1'],
      kinds: [],
      run: async (bytes) => {
        writeFileSync(paths.run, bytes);
        writeFileSync(paths.stream, bytes);
        await loadRuns(folder, "demo");
        await loadStreamState(folder, "demo");
      },
    },
    {
      name: "status of the spool",
      seeds: [
        vectorBytes("v2.45/spool/00000001000000000000001A.ok"),
        vectorBytes("v2.45/spool/00000001000000000000001B.error"),
        utf8("0\nwarning"),
      ],
      kinds: ["format"],
      run: async (bytes) => {
        writeFileSync(paths.ok, bytes);
        writeFileSync(paths.error, bytes);
        for (const queue of ["out", "in"] as const)
          await stockSpool(folder, "demo", queue).findStatus("000000010000000000000013");
      },
    },
    {
      name: "server files",
      seeds: [
        json({
          version: 1,
          files: [{ path: "/etc/a", mode: "0600", user: "x", group: null, modifiedAtS: 1, content: "YQ==" }],
        }),
      ],
      tokens: ["/../", '"path":"', "null", "[", "{}", "1e999"],
      kinds: ["format", "jsonFormat"],
      run: async (bytes) => {
        const storage = new MemoryStorage();
        const label = "20261120-065325F";
        await storage.put(`pgbackstop/demo/${label}/server-files.json.gz`, gzipSync(bytes, { level: 1 }));
        for (const { path } of (await findServerFiles(repository(1, { storage }), { label })) ?? [])
          if (!path.startsWith("/") || path.split("/").includes("..") || path.includes("\0"))
            throw new Error(`a server's file '${path}'`);
      },
    },
    {
      name: "attempt file",
      seeds: [
        json({ version: 1, token: "00", term: 1, domain: "d", source: null }),
        json({
          version: 1,
          token: "00",
          term: 1,
          domain: "d",
          source: {
            systemId: 7,
            timeline: 1,
            dataDirectory: "/d",
            controlFile: "1",
            standby: { dataDirectory: "/s", controlFile: "2" },
          },
        }),
      ],
      tokens: ['"systemId":1.5', '"timeline":1e999', '"term":1e999', "null", "[]", "{}"],
      kinds: ["format", "jsonFormat"],
      run: (bytes) => void renderAttempt(parseAttempt(textOf(bytes), "a")),
    },
    {
      name: "drill record",
      seeds: [json(drill)],
      kinds: ["jsonFormat"],
      run: (bytes) => {
        parseDrillFileName(textOf(bytes));
        renderDrill(parseDrill(textOf(bytes), "d"));
      },
    },
    {
      name: "marks of a migration",
      seeds: [json({ guardAtS: 1 }), utf8("[]"), utf8("1")],
      kinds: [],
      run: (bytes) => {
        for (const mark of [parseGuard(textOf(bytes)), parseMigration(textOf(bytes))])
          if (mark !== null) Object.keys(mark);
      },
    },
    {
      name: "notify.json",
      seeds: [
        json({
          version: 1,
          targets: [
            { type: "slack", url: "https://h/x" },
            { type: "email", host: "h", from: "a@b", to: ["c@d"], security: "tls" },
          ],
        }),
        json({
          targets: [
            { type: "webhook", url: "http://127.0.0.1:1/", secret: "s", events: ["failed"] },
            { type: "ntfy", url: "https://n/t", token: "t" },
            { type: "telegram", botToken: "1:a", chatId: "-1", apiUrl: "https://b" },
            { type: "teams", url: "https://x.api.powerplatform.com/y?sig=z" },
          ],
        }),
        json({ package: "9.9.9", targets: [{ type: "pager" }, { type: "slack", url: "https://h/x", retries: 3 }] }),
      ],
      tokens: [
        '"type":"healthchecks"',
        '"type":"alertmanager"',
        '"type":"discord"',
        "null",
        "[]",
        "{}",
        '"to":',
        '"port":1',
      ],
      kinds: ["config"],
      run: (bytes) => void parseTargets(textOf(bytes), "notify.json", () => {}),
    },
    {
      name: "pgbackstop.json",
      seeds: [
        json({ acknowledge: { mode: "any" }, repos: { 1: { compressType: "zst" } }, stream: { intervalSeconds: 5 } }),
        utf8("{}"),
      ],
      tokens: ["null", "[]", "{}", '"repos":{"1":', '"__proto__":{}', "-1", "1e99"],
      kinds: ["config"],
      run: (bytes) => void parseSettings(textOf(bytes), "pgbackstop.json"),
    },
    {
      name: "pgbackrest.conf",
      seeds: [utf8("[global]\nrepo1-path=/var/lib\n# c\n\n[demo:backup]\npg1-path = /x \n")],
      tokens: ["[", "]", "=", "\r\n", "\0", " \t"],
      kinds: ["format"],
      run: (bytes) => void parseIni(textOf(bytes), "f"),
    },
    {
      name: "XML",
      seeds: [
        utf8(
          '<?xml version="1.0"?><ListBucketResult xmlns="x"><Contents><Key>a&amp;b</Key><Size>1</Size></Contents></ListBucketResult>',
        ),
        utf8("<a><![CDATA[x]]><!-- c --><b c='d'/>&#x10ffff;</a>"),
      ],
      tokens: [
        "<a>",
        "</a>",
        "<a/>",
        "&#",
        "&#xD800;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<!DOCTYPE",
        "<?",
        '="',
        "='",
      ],
      kinds: ["format"],
      run: (bytes) => void parseXml(textOf(bytes)),
    },
    {
      name: "keys of SFTP hosts",
      seeds: [
        utf8(
          "[h]:22,h ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE\n@revoked *.h,!x ssh-rsa AAAAB3NzaC1yc2EAAAA=\n|1|c2FsdA==|aGFzaA== ssh-rsa AAAAB3Nz\n",
        ),
        Buffer.from("0000000b7373682d6564323535313900000020", "hex"),
        utf8("sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
      ],
      tokens: ["*", "**********", "?", "!", "|1|", "@cert-authority ", "h", " ", ","],
      kinds: [],
      run: (bytes) => {
        for (const key of listKnownKeys(textOf(bytes), "a.host.h", 22)) describeKey(key.blob);
        const blob = Buffer.from(bytes);
        keyTypeOf(blob);
        fingerprintOf(blob, "sha256");
        findFingerprint(textOf(bytes), "sha256");
      },
    },
    {
      name: "cron",
      seeds: ["0 3 * * sun", "*/15 1-5,9 1,15 jan-mar/2 mon-fri", "5 4 31 2 7"].map(utf8),
      tokens: ["*", "/", "-", ",", "sun", "dec", " ", "99999999999", "0"],
      kinds: [],
      run: (bytes) => {
        const parsed = parseCron(textOf(bytes));
        if (
          parsed.ok &&
          [parsed.cron.minutes, parsed.cron.hours].some(
            (values) => values.length === 0 || values.some((value) => value < 0 || value > 59),
          )
        )
          throw new Error("an invalid time");
      },
    },
    {
      name: "Cluster of CloudNativePG",
      seeds: [
        json(cluster),
        json({
          spec: { bootstrap: { recovery: { source: "x" } }, externalClusters: [{ name: "x", plugin: { name: "y" } }] },
        }),
      ],
      tokens: ["null", "[]", "{}", '"name":', "[[", '"parameters":', '"plugin":'],
      kinds: ["format"],
      run: (bytes) => {
        const parsed = parseObject(bytes, "cluster");
        findOwnParameters(parsed);
        findSourceParameters(parsed);
        findReplicaParameters(parsed);
      },
    },
    {
      name: "messages of gRPC",
      seeds: [
        Buffer.from("0a036162631204deadbeef", "hex"),
        new Uint8Array(0),
        Buffer.concat([Buffer.from([0x0a, 20]), json({ a: 1 })]),
      ],
      kinds: [],
      run: (bytes) => {
        for (const service of ["wal", "backup", "lifecycle", "reconciler", "restoreJob", "metrics"] as const) {
          for (const { requestDeserialize } of Object.values(serviceOf(service))) {
            try {
              requestDeserialize(Buffer.from(bytes));
            } catch (error) {
              // gRPC's own error. The server answers it with a gRPC status.
              if (!(error instanceof RangeError || error instanceof Error)) throw error;
            }
          }
        }
      },
    },
  ];
}
