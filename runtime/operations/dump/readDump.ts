/** Finds dumps in the repositories, and reads one's files verified. */
import { createHash } from "node:crypto";
import { type ByteStream, shownText } from "../../base/bytes";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import { mapParallel, perRepo, type RepoResult } from "../../base/parallel";
import {
  type DumpFile,
  dumpFileName,
  dumpLabelOf,
  type DumpManifest,
  dumpPartName,
  GLOBALS_FILE,
  isDumpLabel,
} from "../../format/repository/dumpManifest";
import { dumpPath } from "../../format/repository/repoPath";
import {
  type DumpDirectory,
  findLostParts,
  hasDump,
  listDumpDirectories,
  loadDumpManifest,
} from "../../repository/dumpStore";
import { openFile, type Repository } from "../../repository/repository";
import { combinedError, repoErrorLine } from "../shared/results";

/** A dump in one repository. */
export interface DumpCopy {
  readonly label: string;
  readonly directory: string;
  readonly repo: Repository;
  /** Null if it cannot be read. */
  readonly manifest: DumpManifest | null;
  /** Why it cannot be used; null for a complete one. */
  readonly fault: string | null;
}

const READS_AT_ONCE = 8;
/** Errors of a manifest itself. A repository that does not answer is another thing. */
const MANIFEST_FAULTS = ["crypto", "fileInvalid", "fileMissing", "format", "jsonFormat"] as const;

/** Every dump of each repository, ascending by label. */
export function listDumps(repos: readonly Repository[]): Promise<RepoResult<readonly DumpCopy[]>[]> {
  return perRepo(repos, findDumps);
}

/** Every dump of a repository once, ascending by label. One that is being written or removed does not count. */
export async function findDumps(repo: Repository): Promise<readonly DumpCopy[]> {
  return oncePerLabel(await findCopies(repo));
}

/** A complete copy stands for faulty ones: sync adds it before it removes them. */
export function oncePerLabel(copies: readonly DumpCopy[]): readonly DumpCopy[] {
  const byLabel = new Map<string, DumpCopy>();
  for (const copy of copies) if (byLabel.get(copy.label)?.fault !== null) byLabel.set(copy.label, copy);
  return [...byLabel.values()];
}

/** Each directory with a manifest. */
export async function findCopies(repo: Repository, label?: string): Promise<readonly DumpCopy[]> {
  const directories = (await listDumpDirectories(repo)).filter(
    (each) => each.hasManifest && (label === undefined || each.label === label),
  );
  const copies = await mapParallel(directories, READS_AT_ONCE, async ({ directory, files }) => {
    const copy = await findCopy(repo, directory, files);
    // Removal begins with the manifest.
    const isGone = copy.fault !== null && !(await hasDump(repo, directory));
    return isGone ? [] : [copy];
  });
  return copies.flat();
}

async function findCopy(repo: Repository, directory: string, listed?: DumpDirectory["files"]): Promise<DumpCopy> {
  const own = { label: dumpLabelOf(directory), directory, repo };
  try {
    const manifest = await loadDumpManifest(repo, directory);
    const [lost] = await findLostParts(repo, directory, manifest, listed);
    return { ...own, manifest, fault: lost === undefined ? null : `'${lost}' is missing or of another size` };
  } catch (error) {
    if (!isError(error, ...MANIFEST_FAULTS)) throw error;
    return { ...own, manifest: null, fault: error.message };
  }
}

/** A complete dump in one repository. Each has its own passphrase. */
interface Copy {
  readonly repo: Repository;
  readonly directory: string;
  readonly manifest: DumpManifest;
}

/** A complete dump and where it is. */
export interface ChosenDump {
  readonly manifest: DumpManifest;
  readonly copies: readonly Copy[];
}

/**
 * @param asked by default, and for `latest`, the newest that a repository has completely
 * @throws optionInvalidValue (32) for what is no label; backupSetInvalid (75) without a complete dump; the combined
 * error when no repository can be read
 */
export async function chooseDump(repos: readonly Repository[], asked: string | undefined): Promise<ChosenDump> {
  const label = asked === "latest" ? undefined : asked;
  if (label !== undefined && !isDumpLabel(label))
    throw fail("optionInvalidValue", `'${shownText(label)}' is not valid for 'dump' option`, {
      hint: "A label is such as 20261121-020000Z-1a2b3c4d: dump-ls shows them.",
    });
  const results =
    label === undefined
      ? await listDumps(repos)
      : await perRepo(repos, async (repo): Promise<readonly DumpCopy[]> => {
          const listed = await findCopies(repo, label);
          // By name, because a listing may be incomplete.
          return listed.length === 0 ? [await findCopy(repo, label)] : listed;
        });
  const copies = results.flatMap((result) => (result.ok ? result.value : []));
  const complete = copies.filter(isComplete);
  const newest = complete
    .map((copy) => copy.label)
    .sort()
    .at(-1);
  const chosen = complete.filter((copy) => copy.label === newest);
  const [first] = chosen;
  if (first !== undefined) return { manifest: first.manifest, copies: chosen };
  const error = combinedError("dump-get", results);
  if (copies.length === 0 && error !== null) throw error;
  const faults = copies.map((copy) => `${copy.repo.name}: dump ${copy.label}: ${copy.fault}`);
  const others = results.flatMap((result) => (result.ok ? [] : [repoErrorLine(result.repoIndex, result.error)]));
  const fact = label === undefined ? "no repository has a complete dump" : `no repository has dump ${label} completely`;
  throw fail("backupSetInvalid", [fact, ...faults, ...others].join("\n"), { hint: "dump-ls shows the dumps." });
}

export type CompleteDump = DumpCopy & { readonly manifest: DumpManifest };

export function isComplete(copy: DumpCopy): copy is CompleteDump {
  return copy.fault === null && copy.manifest !== null;
}

/** @param database null for roles and tablespaces @throws optionInvalidValue (32) */
export function fileOfDump({ databases, globals, label }: DumpManifest, database: string | null): DumpFile {
  if (database === null) return { fileName: GLOBALS_FILE, content: globals };
  const content = databases.find(({ name }) => name === database);
  if (content !== undefined) return { fileName: dumpFileName(database), content };
  throw fail("optionInvalidValue", `'${shownText(database)}' is not valid for 'database' option`, {
    hint: `Dump ${label} has: ${databases.map(({ name }) => shownText(name)).join(", ")}.`,
  });
}

/** @param database null for roles and tablespaces @throws like {@link readDumpFile} */
export function readVerified({ directory, manifest, repo }: Copy, database: string | null): ByteStream {
  return readDumpFile(repo, directory, manifest, fileOfDump(manifest, database));
}

/**
 * The plain content. Its end comes only when the hash of all is right: of wrong content nobody gets all.
 * @throws checksum (26), crypto (95), fileMissing (55)
 */
export async function* readDumpFile(
  repo: Repository,
  directory: string,
  { cipherPass }: Pick<DumpManifest, "cipherPass">,
  { content, fileName }: DumpFile,
): ByteStream {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  let held: Uint8Array | null = null;
  for (const part of content.partSizesBytes.keys()) {
    const path = `${dumpPath(repo.stanza, directory)}/${dumpPartName(fileName, part + 1)}`;
    for await (const chunk of await openFile(repo, path, cipherPass)) {
      hash.update(chunk);
      sizeBytes += chunk.length;
      if (held !== null) yield held;
      held = chunk;
    }
  }
  if (sizeBytes !== content.sizeBytes || hash.digest("hex") !== content.sha256)
    throw fail(
      "checksum",
      `'${fileName}' of dump ${dumpLabelOf(directory)} in ${repo.name} is damaged: its hash or size is wrong`,
      {
        hint: "Use another repository with --repo, or another dump.",
        repoIndex: repo.key,
      },
    );
  if (held !== null) yield held;
}

/**
 * The result with the first repository that works.
 * @param mayRepeat false when nothing may be tried again after this error
 * @throws the last error
 */
export async function useFirst<T>(
  copies: readonly Copy[],
  take: (copy: Copy) => Promise<T>,
  mayRepeat: (error: BackupError) => boolean,
): Promise<T> {
  for (const [index, copy] of copies.entries()) {
    try {
      return await take(copy);
    } catch (thrown) {
      const error = toBackupError(thrown);
      if (index === copies.length - 1 || !mayRepeat(error)) throw error;
    }
  }
  throw fail("assert", "a chosen dump has no copy");
}
