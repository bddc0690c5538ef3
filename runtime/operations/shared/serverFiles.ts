/**
 * Keeps the server's configuration files from outside its data directory with each backup. Debian has
 * postgresql.conf, pg_hba.conf and pg_ident.conf in /etc/postgresql, which a backup of the data directory misses;
 * without them a new machine has data and no server.
 *
 * ```
 * pgbackstop/<stanza>/<label>/server-files.json.gz
 *     {"version":1,"files":[{"path","mode","user","group","modifiedAtS","content"}]}
 * ```
 * One file, written in one step before the backup is listed; `content` is base64. It is encrypted with the backup's own
 * passphrase if the repository is encrypted. Stock pgBackRest 2.45 to 2.60 reads only `archive` and `backup`: info,
 * verify, expire and stanza-delete leave this directory alone (tested). A failure to read or store the copy is a
 * warning: it never costs a backup.
 */
import { isFields } from "../../base/declaredTypes";
import { chown, link, mkdir, readFile, realpath, stat, utimes } from "../../local/nodeFiles";
import { dirname, resolve } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { utf8, textOf } from "../../base/bytes";
import type { Context } from "../../base/context";
import { fail, isError, nullOn, toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { perRepo } from "../../base/parallel";
import { isLabel } from "../../format/repository/label";
import { isArray, type JsonValue, parseJson, renderJson } from "../../format/repository/json";
import type { Manifest, OwnerName } from "../../format/repository/manifest";
import { parseMode, renderMode } from "../../format/repository/manifestRows";
import { serverFilesPath, serverFilesRoot } from "../../format/repository/repoPath";
import { atomicWrite } from "../../local/atomicWrite";
import { bytesIfThere, systemCodeOf, systemError } from "../../local/systemError";
import type { UserNames } from "../../local/users";
import type { ServerView } from "../../postgres/container/serverPaths";
import type { Session } from "../../postgres/session";
import { listNames, readFile as readStored, type Repository, writeFile } from "../../repository/repository";
import { type ConfigFile, type ConfigKind, readConfig } from "./configFiles";

export interface ServerFile {
  /** Absolute, as the server reports it. */
  readonly path: string;
  readonly mode: number;
  readonly user: OwnerName;
  readonly group: OwnerName;
  readonly modifiedAtS: number;
  readonly content: Uint8Array;
}

export interface KeepTarget {
  readonly repo: Repository;
  /** Manifest of the backup that is about to finish. */
  readonly manifest: Pick<Manifest, "label" | "cipherPass">;
}

const VERSION = 1;
const ROOTS: readonly (readonly [setting: string, kind: ConfigKind])[] = [
  ["config_file", "settings"],
  ["hba_file", "records"],
  ["ident_file", "records"],
];
/** Files that Debian's pg_ctlcluster reads next to postgresql.conf. */
const COMPANIONS = ["environment", "pg_ctl.conf", "start.conf"];

/** Stores files from outside the data directory with every backup of the run. Throws only on abort. */
export async function keepServerFiles(
  session: Session,
  dataDirectory: string,
  users: UserNames,
  targets: readonly KeepTarget[],
  ctx: Context,
  view?: ServerView,
): Promise<void> {
  let files: ServerFile[];
  try {
    files = await collectServerFiles(session, dataDirectory, users, view);
  } catch (error) {
    return warn(ctx, "unable to keep the configuration files from outside of the data directory", error);
  }
  if (files.length === 0) return;
  const manifests = new Map(targets.map(({ repo, manifest }) => [repo.key, manifest]));
  const text = utf8(renderServerFiles(files));
  const results = await perRepo(
    targets.map(({ repo }) => repo),
    async (repo) => {
      const { label, cipherPass } = manifests.get(repo.key) as KeepTarget["manifest"];
      await writeFile(repo, serverFilesPath(repo.stanza, label), gzipSync(text, { level: 9 }), cipherPass ?? null, ctx);
    },
  );
  for (const result of results)
    if (!result.ok) warn(ctx, `repo${result.repoIndex}: unable to keep the server's configuration files`, result.error);
  if (results.some((result) => result.ok))
    ctx.log.detail(`keep configuration files ${files.map((file) => file.path).join(", ")}`);
}

function warn(ctx: Context, what: string, error: unknown): void {
  if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
  const { name, message } = toBackupError(error);
  ctx.log.warn(`${what}: [${name}] ${message}`);
}

/** @throws dbQuery, fileOpen, pathOpen */
async function collectServerFiles(
  session: Session,
  dataDirectory: string,
  users: UserNames,
  view?: ServerView,
): Promise<ServerFile[]> {
  const { rows } = await session.query("select name, setting from pg_catalog.pg_settings where name = any($1)", [
    ROOTS.map(([name]) => name),
  ]);
  const settings = new Map<string, string>(rows.map((row) => [row.name, row.setting]));
  if (settings.size < ROOTS.length) {
    throw fail("dbQuery", "the server does not show the paths of its configuration files", {
      hint: "Grant pg_read_all_settings to the role of pg1-user.",
    });
  }
  if (view !== undefined) return collectInContainer(view, settings, users);
  const files = new Map<string, ConfigFile>();
  for (const [setting, kind] of ROOTS)
    for (const file of await readConfig(resolve(dataDirectory, settings.get(setting) ?? ""), kind))
      files.set(file.path, file);
  const configDirectory = dirname(settings.get("config_file") ?? dataDirectory);
  for (const name of COMPANIONS) {
    const path = `${configDirectory}/${name}`;
    const content = await readFile(path).catch(() => null);
    if (content !== null) files.set(path, { path, content });
  }
  const outside = await outsideOf(dataDirectory, [...files.values()]);
  return Promise.all(outside.map((file) => describe(file, users)));
}

/**
 * Mounted files with the paths that the container has for them; what they include from other directories is omitted.
 * Other files belong to the image.
 */
async function collectInContainer(
  view: ServerView,
  settings: ReadonlyMap<string, string>,
  users: UserNames,
): Promise<ServerFile[]> {
  const files = new Map<string, ServerFile>();
  for (const [setting, kind] of ROOTS) {
    const path = settings.get(setting) ?? "";
    if (!path.startsWith("/") || path.startsWith(`${view.dataDirectory}/`)) continue;
    const source = sourceOf(view, path);
    if (source === null) continue;
    for (const file of await readConfig(source, kind, dirname(source))) {
      const inContainer = `${dirname(path)}${file.path.slice(dirname(source).length)}`;
      files.set(inContainer, { ...(await describe(file, users)), path: inContainer });
    }
  }
  return [...files.values()].sort((left, right) => (left.path < right.path ? -1 : 1));
}

/** Null for a path outside of the mounts. */
function sourceOf(view: ServerView, path: string): string | null {
  try {
    return view.here(path);
  } catch (error) {
    if (isError(error, "pathMissing")) return null;
    throw error;
  }
}

/** Files in the data directory, under any name, are already in the backup. */
async function outsideOf(dataDirectory: string, files: readonly ConfigFile[]): Promise<ConfigFile[]> {
  const root = await realpath(dataDirectory);
  const outside: ConfigFile[] = [];
  for (const file of files) {
    const path = await realpath(file.path);
    if (!path.startsWith(`${root}/`) && !file.path.startsWith(`${dataDirectory}/`)) outside.push(file);
  }
  return outside.sort((left, right) => (left.path < right.path ? -1 : 1));
}

async function describe(file: ConfigFile, users: UserNames): Promise<ServerFile> {
  const { mode, uid, gid, mtimeMs } = await stat(file.path);
  return {
    ...file,
    mode: mode & 0o7777,
    user: users.userName(uid),
    group: users.groupName(gid),
    modifiedAtS: Math.floor(mtimeMs / 1000),
  };
}

function renderServerFiles(files: readonly ServerFile[]): string {
  const rows = files.map(({ path, mode, user, group, modifiedAtS, content }) => ({
    path,
    mode: renderMode(mode),
    user,
    group,
    modifiedAtS,
    content: Buffer.from(content).toString("base64"),
  }));
  return JSON.stringify({ version: VERSION, files: rows });
}

/** Null when this backup has none. @throws format, crypto, and storage errors */
export async function findServerFiles(
  repo: Repository,
  { label, cipherPass }: KeepTarget["manifest"],
): Promise<ServerFile[] | null> {
  const path = serverFilesPath(repo.stanza, label);
  const packed = await nullOn(readStored(repo, path, cipherPass ?? null), "fileMissing");
  return packed === null ? null : parseServerFiles(unzip(packed, path), path);
}

function unzip(packed: Uint8Array, path: string): string {
  try {
    return textOf(gunzipSync(packed, { maxOutputLength: LIMITS.infoFileSizeBytesMax }));
  } catch (error) {
    throw fail("format", `'${path}' cannot be decompressed: ${toBackupError(error).message}`, { path, cause: error });
  }
}

function parseServerFiles(text: string, path: string): ServerFile[] {
  const document = parseJson(text);
  const { version, files } = isFields(document) ? document : {};
  if (version !== VERSION || !isArray(files))
    throw fail(
      "format",
      `'${path}': expected version ${VERSION} with files, found version ${renderJson(version ?? null)}`,
      { path },
    );
  return files.map((row) => parseFile(row, path));
}

/** Without set-user-ID and set-group-ID. */
const MODE_MASK = 0o1777;
/** The limit of file systems with 64 bits of nanoseconds. */
const TIME_S_MAX = 9_000_000_000;

function parseFile(row: JsonValue, where: string): ServerFile {
  const { path, mode, user, group, modifiedAtS, content } = isFields(row) ? row : {};
  const isOwner = (value: JsonValue | undefined): value is OwnerName => value === null || typeof value === "string";
  const isPath =
    typeof path === "string" && path.startsWith("/") && !path.split("/").includes("..") && !path.includes("\0");
  const isTime = typeof modifiedAtS === "number" && Math.abs(modifiedAtS) <= TIME_S_MAX;
  if (
    !isPath ||
    typeof mode !== "string" ||
    !isOwner(user) ||
    !isOwner(group) ||
    !isTime ||
    typeof content !== "string"
  )
    throw fail("format", `'${where}': a row does not describe a file`, { path: where });
  // Root writes these files: a forged one must not become a program that runs as its owner.
  return {
    path,
    mode: parseMode(mode, where) & MODE_MASK,
    user,
    group,
    modifiedAtS,
    content: Buffer.from(content, "base64"),
  };
}

/**
 * Writes the files below `directory` under their full names; `/` restores them in place. An existing file with other
 * content is kept as `<name>.before-restore`, unless that exists. A null `ownerOf` does not change the owner. Returns
 * the written paths.
 */
export async function writeServerFiles(
  files: readonly ServerFile[],
  directory: string,
  ownerOf: (file: ServerFile) => { readonly uid: number; readonly gid: number } | null,
): Promise<string[]> {
  const written: string[] = [];
  for (const file of files) {
    const path = resolve(directory, `.${file.path}`);
    const owner = ownerOf(file);
    await makeParents(dirname(path), owner);
    const present = await bytesIfThere(path);
    if (present !== null && Buffer.compare(present, file.content) !== 0) await keepBefore(path);
    await atomicWrite(path, file.content, { mode: file.mode });
    if (owner !== null) await chown(path, owner.uid, owner.gid);
    await utimes(path, file.modifiedAtS, file.modifiedAtS);
    written.push(path);
  }
  return written;
}

/** The server must be able to enter these directories, and their owner to change them. */
async function makeParents(path: string, owner: { readonly uid: number; readonly gid: number } | null): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o755 }).catch((error: unknown) => {
    throw systemError("pathCreate", `create path '${path}'`, path, error);
  });
  if (first === undefined || owner === null) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await chown(made, owner.uid, owner.gid);
}

async function keepBefore(path: string): Promise<void> {
  const before = `${path}.before-restore`;
  try {
    await link(path, before);
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") return;
    throw systemError("fileWrite", `keep '${path}' as '${before}'`, before, error);
  }
}

/**
 * Removes files of backups that expired, by us or by stock. `labels` are the repository's listed ones; anything newer
 * than all of them belongs to a running backup and stays. Returns the labels of removed files (with `dryRun`, those to
 * remove).
 */
export async function expireServerFiles(
  repo: Repository,
  labels: readonly string[],
  dryRun: boolean,
): Promise<string[]> {
  const listed = new Set(labels);
  const newest = labels.toSorted().at(-1) ?? "";
  const isExpired = (name: string): boolean => isLabel(name) && !listed.has(name) && timeOf(name) < timeOf(newest);
  const expired = await listNames(repo, serverFilesRoot(repo.stanza), isExpired);
  if (!dryRun) for (const label of expired) await repo.storage.removePath(dirname(serverFilesPath(repo.stanza, label)));
  return expired;
}

/** A backup's start time: the last part of its label. */
function timeOf(label: string): string {
  return label.split("_").at(-1)?.slice(0, -1) ?? "";
}
