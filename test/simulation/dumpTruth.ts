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

interface Labels {
  /** Of dumps that were ever complete. */
  readonly seen: Set<string>;
  /** Of dumps whose command said so. */
  readonly reported: Set<string>;
}

export class DumpTruth {
  /** Number that a repository keeps. */
  readonly #kept: number;
  /** Labels by repository. */
  readonly #labels = new Map<number, Labels>();

  constructor(kept = Number.POSITIVE_INFINITY) {
    this.#kept = kept;
  }

  /** A command says that the dump is in the repository. */
  report(bucket: Bucket, label: string): string | null {
    this.#labelsOf(bucket).reported.add(label);
    return this.#judge(bucket);
  }

  check(bucket: Bucket): string | null {
    if (!this.#labels.has(bucket.key)) return this.#begin(bucket);
    return bucket.lastPath.startsWith(`${dumpsPath(STANZA)}/`) ? this.#judge(bucket) : null;
  }

  /** The past had no disturbance: what is complete was reported. */
  #begin(bucket: Bucket): string | null {
    const { reported, seen } = this.#labelsOf(bucket);
    const problem = this.#judge(bucket);
    for (const label of seen) reported.add(label);
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
    const { reported, seen } = this.#labelsOf(bucket);
    const problems = new Map<string, string>();
    const complete = new Set<string>();
    for (const directory of directoriesOf(bucket)) {
      const problem = problemOf(bucket, directory);
      if (problem === null) complete.add(dumpLabelOf(directory));
      else problems.set(dumpLabelOf(directory), problem);
    }
    for (const label of complete) seen.add(label);
    for (const label of [...new Set([...seen, ...reported])].sort().slice(-this.#kept))
      if (reported.has(label) && !complete.has(label))
        return `repo${bucket.key}: dump ${label}, which is kept, is lost: ${problems.get(label) ?? "it is not there"}`;
    return null;
  }

  #labelsOf({ key }: Bucket): Labels {
    const labels = this.#labels.get(key) ?? { seen: new Set(), reported: new Set() };
    this.#labels.set(key, labels);
    return labels;
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
