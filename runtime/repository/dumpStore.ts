/**
 * Logical dumps in a repository. A directory without `dump.manifest` is an unfinished or abandoned dump.
 *
 * Only the holder of the lease for dumps writes or removes here, and each run writes below a label with random digits.
 * So the holder of the lease knows that directories without a manifest are remains: their process has ended or has lost
 * the lease, after which it publishes nothing (repository/lease). A process that slept between its last check and the
 * manifest finds out afterwards and removes the manifest again. If it dies before that, files of the dump are missing:
 * a dump is complete only if all its files are there.
 */
import { basename } from "node:path";
import type { Context } from "../base/context";
import { fail, toBackupError } from "../base/errors";
import { mapParallel } from "../base/parallel";
import {
  DUMP_MANIFEST,
  type DumpManifest,
  dumpParts,
  isDumpLabel,
  parseDumpManifest,
  renderDumpManifest,
} from "../format/repository/dumpManifest";
import { dumpManifestPath, dumpPath, dumpsPath, serverFilesRoot } from "../format/repository/repoPath";
import type { Lease } from "./lease";
import { readFile, type Repository, writeFile } from "./repository";

/** A directory of a dump, as a listing shows it. */
export interface DumpDirectory {
  readonly label: string;
  readonly hasManifest: boolean;
  /** Stored sizes by name, without the manifest. */
  readonly files: ReadonlyMap<string, number>;
}

const QUESTIONS_AT_ONCE = 8;

/** Ascending by label. One request for each thousand files. */
export async function listDumpDirectories(repo: Repository): Promise<readonly DumpDirectory[]> {
  const root = dumpsPath(repo.stanza);
  const directories = new Map<string, Map<string, number>>();
  for await (const { path, sizeBytes } of repo.storage.list(root, { recursive: true })) {
    const [label = ""] = path.slice(root.length + 1).split("/");
    if (!isDumpLabel(label)) continue;
    const files = directories.get(label) ?? new Map<string, number>();
    directories.set(label, files.set(basename(path), sizeBytes));
  }
  return [...directories]
    .map(([label, files]) => ({ label, hasManifest: files.delete(DUMP_MANIFEST), files }))
    .sort((left, right) => (left.label < right.label ? -1 : 1));
}

/** Looks the manifest up by name, because a listing may be incomplete. */
export async function hasDump({ stanza, storage }: Repository, label: string): Promise<boolean> {
  return (await storage.stat(dumpManifestPath(stanza, label))) !== null;
}

/** @throws fileMissing without such a dump; crypto, format, jsonFormat */
export async function loadDumpManifest(repo: Repository, label: string): Promise<DumpManifest> {
  const path = dumpManifestPath(repo.stanza, label);
  const manifest = parseDumpManifest(await readFile(repo, path, repo.cipherPass), path);
  if (manifest.label === label) return manifest;
  throw fail("format", `'${path}' is the manifest of dump ${manifest.label}`, { repoIndex: repo.key, path });
}

/**
 * Names of the dump's files that are missing or have another size. What a listing lacks is looked up by name, because a
 * listing may be incomplete.
 */
export async function findLostParts(
  { stanza, storage }: Repository,
  manifest: DumpManifest,
  listed: DumpDirectory["files"] = new Map(),
): Promise<readonly string[]> {
  const doubtful = [...dumpParts(manifest)].filter(([name, sizeBytes]) => listed.get(name) !== sizeBytes);
  const lost = await mapParallel(doubtful, QUESTIONS_AT_ONCE, async ([name, sizeBytes]) => {
    const file = await storage.stat(`${dumpPath(stanza, manifest.label)}/${name}`);
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
): Promise<void> {
  const { stanza, storage } = repo;
  const { label } = manifest;
  // Files were written in place: their names become durable before something refers to them.
  for (const path of [dumpPath(stanza, label), dumpsPath(stanza), serverFilesRoot(stanza)])
    await storage.syncPath(path);
  await requireParts(repo, manifest);
  await lease.check();
  const path = dumpManifestPath(stanza, label);
  await writeFile(repo, path, renderDumpManifest(manifest), repo.cipherPass, ctx);
  try {
    // The lease first: a later holder finds the manifest, and removes nothing.
    await lease.check();
    await requireParts(repo, manifest);
    if ((await storage.stat(path)) === null) throw gone(repo, path);
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
export async function removeDump({ stanza, storage }: Repository, label: string): Promise<void> {
  await storage.remove(dumpManifestPath(stanza, label));
  await storage.removePath(dumpPath(stanza, label));
}

async function requireParts(repo: Repository, manifest: DumpManifest): Promise<void> {
  const [name] = await findLostParts(repo, manifest);
  if (name !== undefined) throw gone(repo, `${dumpPath(repo.stanza, manifest.label)}/${name}`);
}

function gone({ key, name }: Repository, path: string): Error {
  return fail("fileMissing", `'${path}' was written to ${name} and is now missing or of another size`, {
    hint: "Another process has removed or replaced it. The dump was not listed. Take another one.",
    repoIndex: key,
    path,
  });
}
