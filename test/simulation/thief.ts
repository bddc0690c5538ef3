/**
 * Changes files of a repository at rest, below all faults: a thief, a lifecycle rule, a snapshot that is restored, or
 * another server's program.
 */
import { walPath } from "../../runtime/format/repository/repoPath";
import { STANZA, walName } from "../runtime/repository/support";
import { type Bucket, sha1Of, type StoredFile } from "./bucket";
import { type Shared, shortWalBytes, TWIN_AT } from "./host";

/**
 * The newest segment, or with `file` a data file of the newest backup: it vanishes, is `empty`, is cut to its first
 * half, gets other bytes of the same size, is replaced by another segment under that one's own hash, or becomes a
 * directory.
 */
export type Harm = "vanish" | "empty" | "cut" | "garbage" | "replace" | "directory";

const SEGMENT = /^archive\/.*\/([0-9A-F]{24})-[0-9a-f]{40}$/;
const DATA_FILE = /^backup\/[^/]+\/[^/]+\/pg_data\/base\//;
const LABEL = /^backup\/[^/]+\/(\d{8}-\d{6}F[^/]*)\//;
const SEGMENTS_OF_LOG = 4096;
const FUTURE = 40;

/** Returns the path, or an empty text if there is nothing to harm. */
export function harmFile(world: Shared, bucket: Bucket, how: Harm, isData: boolean): string {
  const pattern = isData ? DATA_FILE : SEGMENT;
  const path =
    [...bucket.files.keys()]
      .filter((each) => pattern.test(each))
      .sort()
      .at(-1) ?? "";
  const file = bucket.files.get(path);
  if (file === undefined) return "";
  world.truth.harm(bucket, path);
  const put = (at: string, bytes: Uint8Array): void =>
    void bucket.foreign.add(bucket.put(at, bytes, file.modifiedAtMs));
  if (how === "empty") put(path, new Uint8Array(0));
  else if (how === "cut") put(path, file.bytes.subarray(0, file.bytes.length >> 1));
  else if (how === "garbage") put(path, new Uint8Array(file.bytes.length).fill(7));
  else bucket.remove(path);
  if (how === "directory") put(`${path}/x`, Buffer.from("x"));
  if (how === "replace") plantSegment(world, bucket, SEGMENT.exec(path)?.[1] ?? "");
  return path;
}

/** Puts another server's segment under the name of the next segment, or of one far ahead. */
export function plant(world: Shared, bucket: Bucket, isFar: boolean): string {
  const name = walName(world.walNo + (isFar ? FUTURE : 0));
  plantSegment(world, bucket, name);
  return name;
}

/** Its header fits its name, and its records are not this server's. */
function plantSegment(world: Shared, bucket: Bucket, name: string): void {
  const [log = 0, segment = 0] = [8, 16].map((at) => Number.parseInt(name.slice(at, at + 8), 16));
  const bytes = shortWalBytes(SEGMENTS_OF_LOG * log + segment);
  bytes.set(Buffer.from("thief"), TWIN_AT);
  const path = walPath(STANZA, "15-1", `${name}-${sha1Of(bytes)}`);
  world.truth.harm(bucket, path);
  bucket.foreign.add(bucket.put(path, bytes, 0));
}

/** Objects go back in time. No promise covers what is lost by that. */
export function rewind(world: Shared, bucket: Bucket, files: ReadonlyMap<string, StoredFile>): void {
  const labels = [...bucket.files.keys(), ...files.keys()].flatMap((path) => LABEL.exec(path)?.[1] ?? []);
  bucket.replace(files);
  world.truth.forget(bucket.key, labels);
}
