/**
 * Which repositories may hold a backup that broke off in another one.
 *
 * A backup in several repositories has one label. Where it broke off it may be gone on with only when all who may hold it whole are asked:
 * otherwise two repositories would list different backups under one name, and `sync` could bring neither to the other. A note in the manifest
 * under way, an annotation for stock, says who they are; the finished manifest lacks it. It also tells our attempts from stock's.
 */
import type { Manifest } from "../../format/repository/manifest";

const NOTE = "pgbackstop-begun-in";

/** The manifest under way, with the keys of all repositories that the backup is begun in. */
export function withSharers(manifest: Manifest, repoKeys: readonly number[]): Manifest {
  return { ...manifest, annotations: { ...manifest.annotations, [NOTE]: repoKeys.join(",") } };
}

export function withoutSharers(manifest: Manifest): Manifest {
  const { [NOTE]: _note, ...annotations } = manifest.annotations;
  return { ...manifest, annotations };
}

/** Keys of the repositories that an attempt was begun in; none when it was begun in its own alone, or by stock. */
export function sharersOf({ annotations }: Pick<Manifest, "annotations">): readonly number[] {
  const keys = (annotations[NOTE] ?? "").split(",").flatMap((text) => (/^\d+$/.test(text) ? [Number(text)] : []));
  return keys.length < 2 ? [] : keys;
}

/** True for a manifest under way that a version with attempt files wrote. */
export function hasNote({ annotations }: Pick<Manifest, "annotations">): boolean {
  return annotations[NOTE] !== undefined;
}
