/**
 * Timeline histories and backup labels: WAL files without a checksum in their names. Damage shows only in their content
 * ("pgbackrest-format" 8.2), or against another repository's copy.
 */
import { SEGMENT_LENGTH } from "../../format/wal/walSegment";
import { collect, textOf } from "../../base/bytes";
import { isError, toBackupError } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import { parseHistory } from "../../format/wal/timeline";
import type { Repository } from "../../repository/repository";
import { openWal, type StoredWal } from "../../repository/walStore";

const LABEL_LINE = /^[A-Z][A-Z ]*: .*$/;
/** What every supported PostgreSQL writes (PostgreSQL "access/transam/xlogbackup.c"). */
const LABEL_FIELDS = [
  "START WAL LOCATION",
  "STOP WAL LOCATION",
  "CHECKPOINT LOCATION",
  "START TIME",
  "LABEL",
  "STOP TIME",
];

export interface NamedContent {
  readonly bytes: Uint8Array;
  readonly sha1: string;
  /** What is wrong with it; null when its content fits its name. */
  readonly problem: string | null;
}

/** Damaged content is reported as a problem. @throws read errors when the repository gives no answer */
export async function readNamed(
  repo: Repository,
  archiveId: string,
  stored: StoredWal,
  pass: string | null,
): Promise<NamedContent> {
  try {
    const bytes = await collect(await openWal(repo, archiveId, stored, pass), LIMITS.walTextSizeBytesMax);
    return { bytes, sha1: sha1Hex(bytes), problem: findNamedProblem(stored.name, textOf(bytes)) };
  } catch (error) {
    if (!isError(error, "crypto", "format", "checksum", "fileInvalid")) throw error;
    return { bytes: new Uint8Array(0), sha1: "", problem: toBackupError(error).message };
  }
}

/** Null when the text fits the name. Pure. */
export function findNamedProblem(name: string, text: string): string | null {
  return name.endsWith(".history") ? historyProblem(name, text) : labelProblem(name, text);
}

function historyProblem(name: string, text: string): string | null {
  try {
    const last = parseHistory(text).at(-1);
    if (last === undefined) return "it names no ancestor";
    const own = Number.parseInt(name, 16);
    return last.timeline < own ? null : `it names timeline ${last.timeline} as an ancestor of ${own}`;
  } catch (error) {
    return toBackupError(error).message;
  }
}

function labelProblem(name: string, text: string): string | null {
  const lines = text.trimEnd().split("\n");
  const strange = lines.findIndex((line) => !LABEL_LINE.test(line));
  if (strange !== -1) return `line ${strange + 1} is not a field of a backup label`;
  const missing = LABEL_FIELDS.find((field) => !lines.some((line) => line.startsWith(`${field}: `)));
  if (missing !== undefined) return `it has no field '${missing}'`;
  const segment = name.slice(0, SEGMENT_LENGTH);
  return lines.some((line) => line.startsWith("START WAL LOCATION: ") && line.endsWith(`(file ${segment})`))
    ? null
    : `it does not begin in segment ${segment}`;
}

/** SHA-1 by name. */
export type NamedContents = Pick<ReadonlyMap<string, string>, "get" | "has"> & { keys(): Iterable<string> };

/** Names with different content in several repositories, one line each. Pure; `named` by repository. */
export function differingNames(
  named: ReadonlyMap<number, NamedContents>,
): { readonly repoIndexes: readonly number[]; readonly text: string }[] {
  const holdersOf = (name: string): [number, NamedContents][] => [...named].filter(([, own]) => own.has(name));
  const names = new Set<string>();
  for (const own of named.values()) {
    for (const name of own.keys()) {
      const sha1 = own.get(name);
      if (holdersOf(name).some(([, other]) => other.get(name) !== sha1)) names.add(name);
    }
  }
  return [...names].sort().map((name) => {
    const repoIndexes = holdersOf(name).map(([key]) => key);
    return { repoIndexes, text: `${name} differs between ${repoIndexes.map((key) => `repo${key}`).join(", ")}` };
  });
}
