/**
 * `manifest`: shows a backup's content as stock's text or JSON, and for one file where its blocks are (pgBackRest 2.60
 * "command/manifest").
 */
import { formatLocalSeconds } from "../../base/clock";
import { fail } from "../../base/errors";
import { formatSize } from "../../base/units";
import type { JsonValue } from "../../format/repository/json";
import type { BlockMap, StoredSuperBlock } from "../../format/repository/blockMap";
import { findBlockSource } from "../../format/repository/blockSource";
import type { Manifest, ManifestFile } from "../../format/repository/manifest";
import { loadBlockMap } from "../../repository/blockReader";
import type { Repository } from "../../repository/repository";

/** What restoring a file reads from one backup. */
export interface BlockShare {
  /** Index into the manifest's references. */
  readonly reference: number;
  readonly bundleId: number;
  readonly readCount: number;
  readonly readBytes: number;
  readonly superBlockCount: number;
  readonly superBlockBytes: number;
  readonly blockCount: number;
  readonly blockBytes: number;
}

export interface ManifestReport {
  readonly manifest: Manifest;
  readonly files: readonly ManifestFile[];
  /** Shares of the requested file, if it is stored in blocks. */
  readonly shares: readonly BlockShare[] | null;
}

/**
 * `fileName` shows one file, `reference` the files with bytes in that backup (`latest`: in this one).
 * @throws optionInvalidValue
 */
export async function reportManifest(
  repo: Repository,
  manifest: Manifest,
  fileName: string | undefined,
  reference: string | undefined,
): Promise<ManifestReport> {
  const holder = reference === "latest" ? manifest.label : reference;
  const held = manifest.files.filter((file) => holder === undefined || (file.reference ?? manifest.label) === holder);
  if (fileName === undefined) return { manifest, files: held, shares: null };
  const file = held.find((candidate) => candidate.name === fileName);
  if (file === undefined) throw fail("optionInvalidValue", `unable to find '${fileName}' in manifest file list`);
  const blocks = findBlockSource(repo.stanza, manifest, file);
  return {
    manifest,
    files: [file],
    shares: blocks === null ? null : sharesOf(await loadBlockMap(repo, blocks), file.sizeBytes),
  };
}

/** Pure: the number of reads, super blocks and blocks from each backup, ascending by reference. */
export function sharesOf(map: BlockMap, sizeBytes: number): BlockShare[] {
  const references = [...new Set(map.blocks.map((block) => block.superBlock.reference))].sort(
    (left, right) => left - right,
  );
  return references.map((reference) => {
    const blocks = map.blocks.flatMap((block, index) =>
      block.superBlock.reference === reference ? [{ block, index }] : [],
    );
    const superBlocks = [...new Set(blocks.map(({ block }) => block.superBlock))].sort(
      (left, right) => left.offsetBytes - right.offsetBytes,
    );
    const sum = (of: (superBlock: StoredSuperBlock) => number): number =>
      superBlocks.reduce((total, superBlock) => total + of(superBlock), 0);
    const begins = superBlocks.filter((own, at) => {
      const before = superBlocks[at - 1];
      return before === undefined || before.offsetBytes + before.sizeRepoBytes !== own.offsetBytes;
    });
    return {
      reference,
      bundleId: superBlocks[0]?.bundleId ?? 0,
      readCount: begins.length,
      readBytes: sum((superBlock) => superBlock.sizeRepoBytes),
      superBlockCount: superBlocks.length,
      superBlockBytes: sum((superBlock) => superBlock.sizeBytes),
      blockCount: blocks.length,
      blockBytes: blocks.reduce(
        (total, { index }) => total + Math.min(map.blockSizeBytes, sizeBytes - index * map.blockSizeBytes),
        0,
      ),
    };
  });
}

export function manifestJson({ manifest, files, shares }: ManifestReport): JsonValue {
  return {
    label: manifest.label,
    reference: [...manifest.references],
    type: manifest.type,
    time: { start: manifest.startedAtS, copy: manifest.copyStartedAtS, stop: manifest.stoppedAtS },
    bundle: { bundle: manifest.bundle, ...(manifest.bundle ? { raw: manifest.bundleRaw } : { raw: false }) },
    block: { block: manifest.blockIncr },
    fileList: files.map((file) => fileJson(file, shares)),
  };
}

function fileJson(file: ManifestFile, shares: readonly BlockShare[] | null): JsonValue {
  const { bundle, block } = file;
  const delta = shares?.map((share) => ({
    reference: share.reference,
    read: { total: share.readCount, size: share.readBytes },
    superBlock: { total: share.superBlockCount, size: share.superBlockBytes },
    block: { total: share.blockCount },
  }));
  return {
    name: file.name,
    ...(file.reference === undefined ? {} : { reference: file.reference }),
    size: file.sizeBytes,
    checksum: file.sha1,
    repo: { size: file.sizeRepoBytes },
    ...(bundle === undefined ? {} : { bundle: { id: bundle.id, offset: bundle.offsetBytes } }),
    ...(block === undefined || block.mapSizeBytes === 0
      ? {}
      : {
          block: {
            size: block.sizeBytes,
            map: { size: block.mapSizeBytes, ...(delta === undefined ? {} : { delta }) },
            checksum: { size: block.checksumSizeBytes },
          },
        }),
  };
}

export function manifestText({ manifest, files, shares }: ManifestReport): string {
  const { startedAtS, stoppedAtS } = manifest;
  const head = [
    `label: ${manifest.label}`,
    `reference: ${manifest.references.join(", ")}`,
    `type: ${manifest.type}`,
    `time: start: ${formatLocalSeconds(startedAtS * 1000)}, stop: ${formatLocalSeconds(stoppedAtS * 1000)}, duration: ${duration(stoppedAtS - startedAtS)}`,
    `bundle: ${manifest.bundle}`,
    `block: ${manifest.blockIncr}`,
    "",
    "file list:",
  ];
  return `${head.join("\n")}\n${files.map((file) => `${fileLines(manifest, file, shares).join("\n")}\n`).join("\n")}`;
}

function fileLines(manifest: Manifest, file: ManifestFile, shares: readonly BlockShare[] | null): string[] {
  const { block } = file;
  const hasMap = block !== undefined && block.mapSizeBytes > 0;
  return [
    `  - ${file.name}`,
    ...(file.reference === undefined ? [] : [`      reference: ${file.reference}`]),
    `      size: ${formatSize(file.sizeBytes)}, repo ${formatSize(file.sizeRepoBytes)}`,
    `      checksum: ${file.sha1}`,
    ...(file.bundle === undefined ? [] : [`      bundle: ${file.bundle.id}`]),
    ...(hasMap
      ? [
          `      block: size ${formatSize(block.sizeBytes)}, map size ${formatSize(block.mapSizeBytes)}, checksum size ${formatSize(block.checksumSizeBytes)}`,
        ]
      : []),
    ...(shares === null ? [] : shareLines(manifest, shares)),
  ];
}

function shareLines(manifest: Manifest, shares: readonly BlockShare[]): string[] {
  const total = (of: (share: BlockShare) => number): number => shares.reduce((sum, share) => sum + of(share), 0);
  const line = (share: Omit<BlockShare, "reference" | "bundleId">): string =>
    `${share.readCount}/${formatSize(share.readBytes)}, superBlock: ${share.superBlockCount}/${formatSize(share.superBlockBytes)}, ` +
    `block: ${share.blockCount}/${formatSize(share.blockBytes)}`;
  return [
    "      block delta:",
    ...shares.map((share) => {
      const path = share.bundleId === 0 ? "" : `/bundle/${share.bundleId}`;
      return `        reference: ${manifest.references[share.reference] ?? ""}${path}, read: ${line(share)}`;
    }),
    `        total read: ${line({
      readCount: total((share) => share.readCount),
      readBytes: total((share) => share.readBytes),
      superBlockCount: total((share) => share.superBlockCount),
      superBlockBytes: total((share) => share.superBlockBytes),
      blockCount: total((share) => share.blockCount),
      blockBytes: total((share) => share.blockBytes),
    })}`,
  ];
}

/** `1:02:03` */
function duration(seconds: number): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
