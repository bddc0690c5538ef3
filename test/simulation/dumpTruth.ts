/**
 * What must always be true of logical dumps.
 *
 * A reported dump is complete with the bytes that the programs printed, as long as `keepDumps` keeps it, counted by the
 * dumps that were ever complete. When everything is quiet, nothing is left of killed ones.
 */
import { createHash } from "node:crypto";
import {
  dumpFiles,
  dumpLabelOf,
  type DumpManifest,
  dumpPartName,
  parseDumpManifest,
} from "../../runtime/format/repository/dumpManifest";
import { dumpManifestPath, dumpPath, dumpsPath } from "../../runtime/format/repository/repoPath";
import { STANZA } from "../runtime/repository/support";
import type { Bucket, StoredFile } from "./bucket";

const manifests = new WeakMap<StoredFile, DumpManifest | null>();

export class DumpTruth {
  /** Number that a repository keeps. */
  readonly #kept: number;
  /** Labels that were ever complete, by repository. */
  readonly #seen = new Map<number, Set<string>>();
  /** `<repository>:<label>` of dumps whose command said so. */
  readonly #reported = new Set<string>();

  constructor(kept = Number.POSITIVE_INFINITY) {
    this.#kept = kept;
  }

  /** A command says that the dump is in the repository. */
  report(bucket: Bucket, label: string): string | null {
    this.#reported.add(`${bucket.key}:${label}`);
    return this.#judge(bucket);
  }

  check(bucket: Bucket): string | null {
    const isFirst = !this.#seen.has(bucket.key);
    if (!isFirst && !bucket.lastPath.startsWith(`${dumpsPath(STANZA)}/`)) return null;
    const problem = this.#judge(bucket);
    // The past had no disturbance.
    if (isFirst) for (const label of this.#seen.get(bucket.key) ?? []) this.#reported.add(`${bucket.key}:${label}`);
    return problem;
  }

  /** After an undisturbed dump. */
  checkEnd(bucket: Bucket): string | null {
    const directories = directoriesOf(bucket);
    const remains = directories.find((directory) => !bucket.files.has(dumpManifestPath(STANZA, directory)));
    if (remains !== undefined) return `repo${bucket.key}: the remains of dump ${remains} stay`;
    const labels = new Set(directories.map(dumpLabelOf));
    return labels.size > this.#kept ? `repo${bucket.key}: ${labels.size} dumps stay` : null;
  }

  #judge(bucket: Bucket): string | null {
    const problems = new Map<string, string>();
    const seen = this.#seen.get(bucket.key) ?? new Set<string>();
    this.#seen.set(bucket.key, seen);
    const complete = new Set<string>();
    for (const directory of directoriesOf(bucket)) {
      const problem = problemOf(bucket, directory);
      if (problem === null) complete.add(dumpLabelOf(directory));
      else problems.set(dumpLabelOf(directory), problem);
    }
    for (const label of complete) seen.add(label);
    const reported = [...this.#reported].flatMap((id) =>
      id.startsWith(`${bucket.key}:`) ? [id.slice(id.indexOf(":") + 1)] : [],
    );
    const kept = new Set([...seen, ...reported].sort().slice(-this.#kept));
    for (const label of reported)
      if (kept.has(label) && !complete.has(label))
        return `repo${bucket.key}: dump ${label}, which is kept, is lost: ${problems.get(label) ?? "it is not there"}`;
    return null;
  }
}

function directoriesOf(bucket: Bucket): string[] {
  const root = `${dumpsPath(STANZA)}/`;
  const names = [...bucket.files.keys()].flatMap((path) =>
    path.startsWith(root) ? [path.slice(root.length).split("/", 1)[0] ?? ""] : [],
  );
  return [...new Set(names)];
}

/** Why a dump cannot be read, or null. */
function problemOf(bucket: Bucket, directory: string): string | null {
  const path = dumpManifestPath(STANZA, directory);
  const file = bucket.files.get(path);
  if (file === undefined) return "it has no manifest";
  const manifest = parsed(file, path);
  if (manifest === null) return "its manifest is unreadable";
  for (const { content, fileName } of dumpFiles(manifest)) {
    const hash = createHash("sha256");
    for (const index of content.partSizesBytes.keys()) {
      const part = bucket.files.get(`${dumpPath(STANZA, directory)}/${dumpPartName(fileName, index + 1)}`);
      if (part === undefined) return `part ${index + 1} of '${fileName}' is missing`;
      hash.update(part.bytes);
    }
    if (hash.digest("hex") !== content.sha256) return `'${fileName}' has other bytes than were printed`;
  }
  return null;
}

function parsed(file: StoredFile, path: string): DumpManifest | null {
  const known = manifests.get(file);
  if (known !== undefined) return known;
  let value: DumpManifest | null = null;
  try {
    value = parseDumpManifest(file.bytes, path);
  } catch {
    // What a lying storage made of it.
  }
  manifests.set(file, value);
  return value;
}
