/**
 * Logical dumps in a repository. A directory without `dump.manifest` is an unfinished or abandoned dump.
 *
 * Only the holder of the lease for dumps writes or removes here, and each run writes into a directory with random
 * digits of its own: a copy of a dump has its label, and digits after it. So the holder of the lease knows that
 * directories without a manifest are remains: their process has ended or has lost the lease, after which it publishes
 * nothing (repository/lease). A process that slept between its last check and the manifest finds out afterwards and
 * removes the manifest again. If it dies before that, files of the dump are missing: a dump is complete only if all its
 * files are there.
 */
import { basename } from "node:path";
import type { Context } from "../base/context";
import { fail, toBackupError } from "../base/errors";
import { mapParallel } from "../base/parallel";
import {
  DUMP_MANIFEST,
  dumpLabelOf,
  type DumpManifest,
  dumpParts,
  isDumpDirectory,
  parseDumpManifest,
  renderDumpManifest,
} from "../format/repository/dumpManifest";
import { dumpManifestPath, dumpPath, dumpsPath, serverFilesRoot } from "../format/repository/repoPath";
import type { Lease } from "./lease";
import { readFile, type Repository, requireContent, writeFile } from "./repository";

/** A directory of a dump, as a listing shows it. */
export interface DumpDirectory {
  readonly directory: string;
  readonly label: string;
  readonly hasManifest: boolean;
  /** Stored sizes by name, without the manifest. */
  readonly files: ReadonlyMap<string, number>;
}

const QUESTIONS_AT_ONCE = 8;

/** Ascending. One request for each thousand files. */
export async function listDumpDirectories(repo: Repository): Promise<readonly DumpDirectory[]> {
  const root = dumpsPath(repo.stanza);
  const directories = new Map<string, Map<string, number>>();
  for await (const { path, sizeBytes } of repo.storage.list(root, { recursive: true })) {
    const [directory = ""] = path.slice(root.length + 1).split("/");
    if (!isDumpDirectory(directory)) continue;
    const files = directories.get(directory) ?? new Map<string, number>();
    directories.set(directory, files.set(basename(path), sizeBytes));
  }
  return [...directories]
    .map(([directory, files]) => {
      return { directory, label: dumpLabelOf(directory), hasManifest: files.delete(DUMP_MANIFEST), files };
    })
    .sort((left, right) => (left.directory < right.directory ? -1 : 1));
}

/** Looks the manifest up by name, because a listing may be incomplete. */
export async function hasDump({ stanza, storage }: Repository, directory: string): Promise<boolean> {
  return (await storage.stat(dumpManifestPath(stanza, directory))) !== null;
}

/** @throws fileMissing without such a dump; crypto, format, jsonFormat */
export async function loadDumpManifest(repo: Repository, directory: string): Promise<DumpManifest> {
  const path = dumpManifestPath(repo.stanza, directory);
  const manifest = parseDumpManifest(await readFile(repo, path, repo.cipherPass), path);
  if (manifest.label === dumpLabelOf(directory)) return manifest;
  throw fail("format", `'${path}' is the manifest of dump ${manifest.label}`, { repoIndex: repo.key, path });
}

/**
 * Names of the dump's files that are missing or have another size. What a listing lacks is looked up by name, because a
 * listing may be incomplete.
 */
export async function findLostParts(
  { stanza, storage }: Repository,
  directory: string,
  manifest: DumpManifest,
  listed: DumpDirectory["files"] = new Map(),
): Promise<readonly string[]> {
  const doubtful = [...dumpParts(manifest)].filter(([name, sizeBytes]) => listed.get(name) !== sizeBytes);
  const lost = await mapParallel(doubtful, QUESTIONS_AT_ONCE, async ([name, sizeBytes]) => {
    const file = await storage.stat(`${dumpPath(stanza, directory)}/${name}`);
    return file?.sizeBytes === sizeBytes ? [] : [name];
  });
  return lost.flat();
}

/**
 * Writes the manifest of a dump whose files are stored: from then on it exists.
 * @throws lockAcquire (50) when the lease was lost, fileMissing (55) when a file is gone: then it does not exist
 */
export async function publishDump(
  repo: Repository,
  manifest: DumpManifest,
  lease: Pick<Lease, "check">,
  ctx: Context,
  directory = manifest.label,
): Promise<void> {
  const { stanza, storage } = repo;
  // Files were written in place: their names become durable before something refers to them.
  for (const path of [dumpPath(stanza, directory), dumpsPath(stanza), serverFilesRoot(stanza)])
    await storage.syncPath(path);
  await requireParts(repo, directory, manifest);
  await lease.check();
  const path = dumpManifestPath(stanza, directory);
  const bytes = renderDumpManifest(manifest);
  await writeFile(repo, path, bytes, repo.cipherPass, ctx);
  try {
    // The lease first: a later holder finds the manifest, and removes nothing.
    await lease.check();
    await requireParts(repo, directory, manifest);
    await requireContent(repo, path, bytes, repo.cipherPass);
  } catch (error) {
    await storage
      .remove(path)
      .catch((failure: unknown) =>
        ctx.log.warn(`${repo.name}: unable to remove '${path}': ${toBackupError(failure).message}`),
      );
    throw error;
  }
}

/** Removes a dump or its remains: the manifest first, so that a part of a dump never passes for one. */
export async function removeDump({ stanza, storage }: Repository, directory: string): Promise<void> {
  await storage.remove(dumpManifestPath(stanza, directory));
  await storage.removePath(dumpPath(stanza, directory));
}

async function requireParts(repo: Repository, directory: string, manifest: DumpManifest): Promise<void> {
  const [name] = await findLostParts(repo, directory, manifest);
  if (name !== undefined) throw gone(repo, `${dumpPath(repo.stanza, directory)}/${name}`);
}

function gone({ key, name }: Repository, path: string): Error {
  return fail("fileMissing", `'${path}' was written to ${name} and is now missing or of another size`, {
    hint: "Another process has removed or replaced it. The dump was not listed. Take another one.",
    repoIndex: key,
    path,
  });
}
