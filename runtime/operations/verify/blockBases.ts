/**
 * Earlier backups that hold super blocks of a block incremental file: the file's own checksum covers only what its
 * backup stored of it.
 */
import { LIMITS } from "../../base/limits";
import { mapParallel } from "../../base/parallel";
import { findBlockSource } from "../../format/repository/blockSource";
import type { FileView, Manifest, ManifestFile } from "../../format/repository/manifest";
import { loadBlockMap } from "../../repository/blockReader";
import type { Repository } from "../../repository/repository";

export function isInBlocks({ block }: Pick<FileView, "block">): boolean {
  return block !== undefined && block.mapSizeBytes > 0;
}

/** Labels by the file's map; none if the map is unreadable, which is the file's own damage. */
export async function basesOf(repo: Repository, manifest: Manifest, file: ManifestFile): Promise<ReadonlySet<string>> {
  const source = findBlockSource(repo.stanza, manifest, file);
  const map = source === null ? null : await loadBlockMap(repo, source).catch(() => null);
  const labels = new Set(map?.blocks.map(({ superBlock }) => manifest.references[superBlock.reference] ?? ""));
  labels.delete(file.reference ?? manifest.label);
  return labels;
}

/** The names of files with super blocks in each of these labels. Reads all maps. */
export async function namesByBase(
  repo: Repository,
  manifest: Manifest,
  labels: readonly string[],
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const names = new Map(labels.map((label) => [label, new Set<string>()]));
  await mapParallel(manifest.files.filter(isInBlocks), LIMITS.filesPerWorker, async (file) => {
    for (const label of await basesOf(repo, manifest, file)) names.get(label)?.add(file.name);
  });
  return names;
}
