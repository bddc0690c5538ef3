/**
 * Records which repositories may hold a backup that was interrupted in another one.
 *
 * A backup in several repositories has one label. An interrupted one may be resumed only if every repository that may
 * hold the complete backup takes part. Otherwise two repositories would list different backups under one name, and
 * `sync` could not copy either to the other. An annotation in the unfinished manifest lists these repositories; the
 * finished manifest lacks it. The annotation also distinguishes our attempts from stock's.
 */
import type { Manifest } from "../../format/repository/manifest";

const NOTE = "pgbackstop-begun-in";

/** The unfinished manifest with the keys of all repositories that the backup was begun in. */
export function withSharers(manifest: Manifest, repoIndexes: readonly number[]): Manifest {
  return { ...manifest, annotations: { ...manifest.annotations, [NOTE]: repoIndexes.join(",") } };
}

export function withoutSharers(manifest: Manifest): Manifest {
  const { [NOTE]: _note, ...annotations } = manifest.annotations;
  return { ...manifest, annotations };
}

/** Keys of the repositories in which an attempt was begun; empty for an attempt in one repository, or by stock. */
export function sharersOf({ annotations }: Pick<Manifest, "annotations">): readonly number[] {
  const keys = (annotations[NOTE] ?? "").split(",").flatMap((text) => (/^\d+$/.test(text) ? [Number(text)] : []));
  return keys.length < 2 ? [] : keys;
}

/** True for an unfinished manifest of a version that wrote attempt files. */
export function hasNote({ annotations }: Pick<Manifest, "annotations">): boolean {
  return annotations[NOTE] !== undefined;
}
