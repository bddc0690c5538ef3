/**
 * Makes a plain data directory of an upper directory in which everything is there: as a restore would leave it, with
 * the opened server's writes.
 *
 * `global/pg_control` gets its name last, so that no server starts before. A killed run is repeated: each step looks
 * whether it was done. Steps inside the directory have the account's rights, because the account can swap names there;
 * root moves only the directory itself, to the path that its user names.
 */
import { lstat, lstatSync, mkdir, readdir, rename, rm, rmdir, statSync, symlink } from "../../local/nodeFiles";
import { dirname } from "node:path";
import { type BackupError, fail } from "../../base/errors";
import { formatSize } from "../../base/units";
import { actAs } from "../../local/actAs";
import { rewrite, syncDirectory } from "../../local/atomicWrite";
import {
  isMissing,
  namesIfThere,
  nullIfMissing,
  systemCodeOf,
  systemError,
  textIfThere,
} from "../../local/systemError";
import { withoutSettings } from "../recover/productionSettings";
import { shellQuote } from "../restore/recovery";
import { AUTO_CONF } from "../restore/recoverySettings";
import { planLayout, type RemapOptions } from "../restore/restorePlan";
import { loadProgress, type Move, type OpenLocation, type OpenState, type Production } from "./openLocation";
import { CONTROL, HIDDEN_CONTROL } from "./tree";
import { isWhole, moveServerWal } from "./upperDirectory";

export interface MoveRequest extends Pick<RemapOptions, "tablespaceMap" | "tablespaceMapAll"> {
  /** The new data directory. */
  readonly to: string;
}

/** Makes every refusal before anything is changed. @throws fileMissing, pathNotEmpty, pathOpen, errors of the layout */
export async function planMove(location: OpenLocation, state: OpenState, request: MoveRequest): Promise<Move> {
  const { to } = request;
  if (state.phase === "moving" && state.move !== undefined) {
    if (state.move.to === to) return state.move;
    if ((await nullIfMissing(lstat(location.upper))) === null)
      throw fail("optionInvalidValue", `'${location.at}' was moved to '${state.move.to}'`, {
        hint: "Repeat that command, with the same directory.",
      });
    // Its tablespaces may be in their places already.
    await requireTarget(location, to);
    return { ...state.move, to };
  }
  if (!isWhole(location)) throw await notWhole(location);
  const targets = state.backup?.tablespaces ?? [];
  const layout = planLayout(
    { targets, paths: [], links: [], files: [] },
    { ...request, dataDirectory: to, linkMap: {}, linkAll: false },
  );
  await requireTarget(location, to);
  const tablespaces = layout.links.map((link) => ({
    name: link.path.slice(to.length + 1),
    destination: link.destination,
    location: link.location,
  }));
  for (const { location: root, name } of tablespaces) {
    const versions = await directoriesIn(`${location.upper}/${name}`);
    for (const version of versions) await requireEmpty(`${root}/${version}`, "--tablespace-map-all");
    if (versions.length > 0) await actAs(state.account, () => requireMovable(location, root, "--tablespace-map-all"));
  }
  return { to, tablespaces };
}

/** @throws optionInvalidValue, pathNotEmpty, pathOpen */
async function requireTarget(location: OpenLocation, to: string): Promise<void> {
  // No directory can take its name.
  if ((await nullIfMissing(lstat(to)))?.isSymbolicLink() === true)
    throw fail("optionInvalidValue", `'${to}' is not valid for 'move-to' option: it is a link`, {
      hint: "Name the directory to which it leads.",
    });
  await requireEmpty(to, "--move-to");
  await requireMovable(location, to, "--move-to");
}

async function notWhole(location: OpenLocation): Promise<BackupError> {
  const progress = await loadProgress(location);
  const missing = progress === null || progress.missingBytes === 0 ? "a part" : formatSize(progress.missingBytes);
  return fail("fileMissing", `'${location.at}' cannot become a plain directory: ${missing} of it is not here yet`, {
    hint: `Open it with --fetch-all, and wait until 'pgbackstop status' says that everything is here.`,
  });
}

/** @throws pathNotEmpty */
async function requireEmpty(path: string, option: string): Promise<void> {
  const names = await namesIfThere(path);
  if (names === null || names.length === 0) return;
  throw fail("pathNotEmpty", `unable to move files to '${path}': it is not empty`, {
    hint: `Name another directory with ${option}.`,
    path,
  });
}

/**
 * A move is a rename: nothing is copied. Between two mounts of one file system it is refused too, which only a rename
 * shows. @throws pathOpen, pathCreate
 */
async function requireMovable({ folder, upper }: OpenLocation, path: string, option: string): Promise<void> {
  let above = path;
  while (statSync(above, { throwIfNoEntry: false }) === undefined) above = dirname(above);
  if (statSync(above).dev !== lstatSync(upper).dev) throw notMovable(upper, path, option);
  const [probe, moved] = [`${above}/${PROBE}`, `${folder}/${PROBE}`];
  await mkdir(probe).catch((error: unknown) => {
    if (systemCodeOf(error) !== "EEXIST") throw systemError("pathCreate", `create path '${probe}'`, probe, error);
  });
  try {
    await rename(probe, moved);
    await rmdir(moved);
  } catch (error) {
    await rmdir(probe).catch(() => {});
    throw notMovable(upper, path, option, error);
  }
}

const PROBE = ".pgbackstop-probe";

function notMovable(upper: string, path: string, option: string, cause?: unknown): BackupError {
  const code = systemCodeOf(cause) ?? "EXDEV";
  const fact = code === "EXDEV" ? `is on another file system or mount than '${upper}'` : `does not take them (${code})`;
  return fail("pathOpen", `'${path}' ${fact}: its files cannot be moved there`, {
    hint: `Name a directory on that file system with ${option}.`,
    path,
    cause,
  });
}

async function directoriesIn(path: string): Promise<readonly string[]> {
  const info = await nullIfMissing(lstat(path));
  return info?.isDirectory() === true ? readdir(path) : [];
}

/**
 * Carries out a plan, once nothing is mounted. `sync` is for the whole file system.
 * @throws fileMove, pathCreate, fileWrite
 */
export async function makePlain(
  location: OpenLocation,
  { account, production }: OpenState,
  { tablespaces, to }: Move,
  sync: () => Promise<void>,
): Promise<void> {
  const { upper } = location;
  if ((await nullIfMissing(lstat(upper))) !== null) {
    await actAs(account, async () => {
      if (production === undefined) await restoreSettings(location, to);
      else await dropSettings(location, production);
      await moveServerWal(location, false);
      for (const name of ["postmaster.pid", "postmaster.opts"]) await rm(`${upper}/${name}`, { force: true });
      for (const link of tablespaces) await linkTablespace(`${upper}/${link.name}`, link);
    });
    await mkdir(dirname(to), { recursive: true, mode: 0o755 });
    await move(upper, to);
  }
  await sync();
  await actAs(account, async () => {
    const hidden = `${to}/${HIDDEN_CONTROL}`;
    if ((await nullIfMissing(lstat(hidden))) !== null) await move(hidden, `${to}/${CONTROL}`);
    await syncDirectory(dirname(hidden));
  });
}

/** Production's own settings stay, as it has changed them. */
async function dropSettings({ restoredConf, upper }: OpenLocation, { settings }: Production): Promise<void> {
  const path = `${upper}/${AUTO_CONF}`;
  const text = await textIfThere(path);
  if (text === null) return;
  await rewrite(path, withoutSettings(text, settings, (await textIfThere(restoredConf)) ?? ""));
}

/** An opened server has settings of its own, and the recovery of an unused one names the directory. */
async function restoreSettings({ at, restoredConf, upper }: OpenLocation, to: string): Promise<void> {
  const path = `${upper}/${AUTO_CONF}`;
  const text = await textIfThere(restoredConf);
  if (text === null) return rm(path, { force: true });
  const argument = (directory: string): string => shellQuote(`--pg1-path=${directory}`).replaceAll("'", "''");
  await rewrite(path, text.replaceAll(argument(at), argument(to)), restoredConf);
}

/** The directory in the data directory becomes a link to its place; one that the server has dropped stays away. */
async function linkTablespace(path: string, { destination, location }: Move["tablespaces"][number]): Promise<void> {
  const made = `${path}${LINK_SUFFIX}`;
  const names = await directoriesIn(path);
  if ((await nullIfMissing(lstat(path)))?.isDirectory() === true) {
    try {
      await mkdir(location, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw systemError("pathCreate", `create path '${location}' as the server's account`, location, error);
    }
    await symlink(destination, made).catch((error: unknown) => {
      if (systemCodeOf(error) !== "EEXIST") throw systemError("fileWrite", `create symlink '${made}'`, made, error);
    });
    for (const name of names) await move(`${path}/${name}`, `${location}/${name}`);
    await rmdir(path);
  }
  await rename(made, path).catch((error: unknown) => {
    if (!isMissing(error)) throw systemError("fileMove", `move '${made}' to '${path}'`, path, error);
  });
}

const LINK_SUFFIX = ".link";

async function move(from: string, to: string): Promise<void> {
  await rename(from, to).catch((error: unknown) => {
    throw systemError("fileMove", `move '${from}' to '${to}'`, to, error);
  });
}
