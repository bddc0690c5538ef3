/**
 * `repo-ls` and `repo-get`: a repository's files as stored, on any storage; `repo-get` finds the key by the path
 * ("pgbackrest-format" 4.1). Paths are relative to the repository, or absolute below its own path, as in stock.
 */
import { compareBytes, type ByteStream } from "../../base/bytes";
import { fail } from "../../base/errors";
import { isLabel } from "../../format/repository/label";
import { openFile, type Repository } from "../../repository/repository";
import { loadArchiveInfo, loadBackupInfo } from "../../repository/infoStore";
import { loadManifest } from "../../repository/backupStore";
import type { ObjectInfo } from "../../storage/storage";

export interface ListRequest {
  readonly filter: RegExp | null;
  readonly recurse: boolean;
  readonly sort: "none" | "asc" | "desc";
}

export interface ListedFile {
  /** Relative to the requested path; "." is that path itself. */
  readonly name: string;
  readonly type: ObjectInfo["type"];
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
  /** Destination of a link. */
  readonly destination?: string;
}

/** The path for drivers; "" is the repository itself. @throws paramInvalid */
export function repoPathOf(text: string, basePath: string): string {
  if (text.includes("//")) throw fail("paramInvalid", `path '${text}' cannot contain //`);
  let path = text;
  if (text.startsWith("/")) {
    const base = basePath.replace(/\/+$/, "");
    if (text !== base && !text.startsWith(`${base}/`))
      throw fail("paramInvalid", `absolute path '${text}' is not in base path '${basePath}'`);
    path = text.slice(base.length + 1);
  }
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw fail("paramInvalid", `path '${text}' cannot contain ..`);
  return parts.join("/");
}

/** A file yields itself as "."; a path yields itself, then its content; a missing one is an empty path. */
export async function listFiles(repo: Repository, path: string, request: ListRequest): Promise<ListedFile[]> {
  const matches = (name: string): boolean => request.filter === null || request.filter.test(name);
  const entries: ListedFile[] = [{ name: ".", type: "directory", sizeBytes: 0, modifiedAtMs: 0 }];
  await collectFiles(repo, path, "", request, entries);
  // Only when nothing is below it: a server may not answer for an object that is a directory on its disk.
  const own = path === "" || entries.length > 1 ? null : await repo.storage.stat(path);
  if (own?.type === "file") return matches(".") ? [{ ...own, name: "." }] : [];
  const shown = entries.filter((file) => matches(file.name));
  if (request.sort === "none") return shown;
  shown.sort((left, right) => compareBytes(left.name, right.name));
  return request.sort === "asc" ? shown : shown.reverse();
}

async function collectFiles(
  repo: Repository,
  path: string,
  above: string,
  request: ListRequest,
  entries: ListedFile[],
): Promise<void> {
  for await (const entry of repo.storage.list(path)) {
    const name = `${above}${entry.path.slice(entry.path.lastIndexOf("/") + 1)}`;
    const { type, sizeBytes, modifiedAtMs, destination } = entry;
    entries.push({ name, type, sizeBytes, modifiedAtMs, ...(destination === undefined ? {} : { destination }) });
    if (request.recurse && entry.type === "directory")
      await collectFiles(repo, entry.path, `${name}/`, request, entries);
  }
}

/** A file's content, decrypted with the key of its path. @throws fileMissing, crypto, optionInvalidValue */
export async function openRepoFile(repo: Repository, path: string, raw: boolean): Promise<ByteStream> {
  return openFile(repo, path, raw || repo.cipherPass === null ? null : await passFor(repo, path));
}

async function passFor(repo: Repository, path: string): Promise<string | null> {
  const [area, stanza, first = "", ...rest] = path.split("/");
  if (area === "pgbackstop" && first === "drills" && rest.length === 1) return repo.cipherPass;
  if (stanza === undefined || first === "" || (area !== "archive" && area !== "backup")) {
    throw fail("optionInvalidValue", `unable to determine cipher passphrase for '${path}'`, {
      hint: "--raw returns the bytes as stored.",
    });
  }
  if (rest.length === 0 && (first === `${area}.info` || first === `${area}.info.copy`)) return repo.cipherPass;
  const own = { ...repo, stanza };
  if (area === "archive") return (await loadArchiveInfo(own)).cipherPass ?? null;
  const pass = (await loadBackupInfo(own)).cipherPass ?? null;
  const isManifest = rest.length === 1 && (rest[0] === "backup.manifest" || rest[0] === "backup.manifest.copy");
  if (first === "backup.history" || isManifest) return pass;
  if (!isLabel(first)) throw fail("optionInvalidValue", `unable to determine cipher passphrase for '${path}'`);
  return (await loadManifest(own, first, pass)).cipherPass ?? null;
}
