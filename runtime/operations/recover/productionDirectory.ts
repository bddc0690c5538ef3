/**
 * `recover --instant`: production runs on an opened backup in the place of its data directory, until everything is here
 * and the files take that place themselves.
 *
 * Nobody but `recover` ends it: its writes are acknowledged commits. Each step may be repeated after a kill or a loss
 * of power.
 */
import { dirname } from "node:path";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { utf8 } from "../../base/bytes";
import { actAs } from "../../local/actAs";
import { atomicWrite, syncDirectory } from "../../local/atomicWrite";
import { existsSync, lstatSync, rename, rmdir } from "../../local/nodeFiles";
import { isMissing, systemCodeOf, systemError, textIfThere } from "../../local/systemError";
import { AUTO_CONF } from "../restore/recoverySettings";
import { endLeftServer, removeFolder, unmount } from "../open/closeBackup";
import { type OpenRequest, type OpenTools, serveOpened, type ServingTools } from "../open/openBackup";
import {
  findMount,
  isAlive,
  isDeadMount,
  loadProgress,
  loadState,
  type OpenLocation,
  openLocation,
  type OpenProgress,
  type OpenState,
  saveState,
  syncFileSystem,
} from "../open/openLocation";
import { lockedTools, lockOpening } from "../open/openLocks";
import { forgetOpened, saveOpened } from "../open/openedRecords";
import { makePlain } from "../open/plainDirectory";
import { withoutSettings } from "./productionSettings";
import { type Account, CONTROL } from "../open/tree";
import { isWhole } from "../open/upperDirectory";

type ProductionRequest = Pick<OpenRequest, "account" | "recovery" | "self" | "spoolPath" | "stanza"> & {
  readonly production: NonNullable<OpenState["production"]>;
};

export class ProductionDirectory {
  readonly location: OpenLocation;
  readonly #request: ProductionRequest;
  readonly #tools: OpenTools;

  constructor(at: string, request: ProductionRequest, tools: OpenTools) {
    this.location = openLocation(at);
    this.#request = request;
    this.#tools = tools;
  }

  /**
   * Prepares and mounts it, or mounts it again with everything that was fetched and written. A server whose serving
   * process has died is ended: it can neither read nor write.
   */
  async mount(ctx: Context): Promise<void> {
    await this.#locked(ctx, async (tools) => {
      const { at } = this.location;
      const request = { ...this.#request, at, named: { set: undefined, isTarget: false }, fetchesAll: true };
      await serveOpened(this.location, { ...request, limitsCache: false, server: null }, tools, ctx);
    });
  }

  /** The files are in their place. */
  isPlain(): boolean {
    const { at } = this.location;
    return findMount(at) === null && existsSync(`${at}/${CONTROL}`);
  }

  /** Null when everything is here, on the disk. @throws execute when nobody serves the files any more */
  async progress(): Promise<OpenProgress | null> {
    const known = await loadProgress(this.location);
    if (known?.isWhole === true && isWhole(this.location)) return null;
    await this.requireServed();
    return known ?? { totalBytes: 0, missingBytes: 0, isWhole: false, fetchesAll: true, trouble: null };
  }

  /** @throws execute when nobody serves the files any more */
  async requireServed(): Promise<void> {
    const state = await loadState(this.location);
    if (!isAlive(state?.server) || findMount(this.location.at) === null)
      throw fail("execute", `the process that serves '${this.location.at}' has ended`, {
        hint: [
          "Nothing that was acknowledged is lost. Run recover again: it mounts the files, and starts the server.",
          `'${this.location.serveLog}' may say why.`,
        ],
      });
  }

  /** What the file system has not written yet, before production is stopped for it. */
  async sync(): Promise<void> {
    await syncFileSystem(this.location, this.#tools);
  }

  /** Ends a server that has lost its files, which would answer no command. False if nothing has lost them. */
  async endDeadServer(ctx: Context): Promise<boolean> {
    if (!isDeadMount(this.location.at)) return false;
    await endLeftServer(this.location, this.#request.account, ctx);
    return true;
  }

  /** Its files are on their way to the data directory. */
  async isMoving(): Promise<boolean> {
    return (await loadState(this.location))?.phase === "moving";
  }

  /** Once the server is stopped. Its directory has all files on return. @throws fileMissing when some are not here */
  async becomePlain(ctx: Context): Promise<void> {
    const { account } = this.#request;
    await this.#locked(ctx, async (tools) => {
      const { at, folder } = this.location;
      const state = await loadState(this.location);
      if (state === null && !this.isPlain())
        throw fail("fileMissing", `the files of '${at}' are missing: '${folder}' does not say where they are`);
      if (state !== null) {
        if (state.phase !== "moving" && !isWhole(this.location))
          throw fail("fileMissing", `not all files of '${at}' are here yet`);
        await unmount(this.location, account, tools, ctx, true);
        const move = { to: at, tablespaces: [] };
        await actAs(account, () => saveState(this.location, { ...state, phase: "moving", move }));
        await makePlain(this.location, state, move, () => syncFileSystem(this.location, tools));
      }
      await this.#forget();
    });
  }

  /** What a run left that was killed when its files were in their place already. */
  async clearMoved(ctx: Context): Promise<void> {
    if (existsSync(this.location.folder)) await this.becomePlain(ctx);
  }

  /** Unmounts it, once the server is stopped, and keeps its pages; `isUsed` false discards them. */
  async leave(isUsed: boolean, stamp: string, ctx: Context): Promise<string[]> {
    const { account, spoolPath, stanza } = this.#request;
    const { at, folder } = this.location;
    if (!existsSync(folder)) return [];
    const aside = openLocation(`${at}.recovered-${stamp}`);
    await this.#locked(ctx, async (tools) => {
      await unmount(this.location, account, tools, ctx, true);
      const state = await loadState(this.location);
      if (state === null || !isUsed) return this.#forget();
      await actAs(account, () => makeHarmless(this.location, state));
      await saveOpened(spoolPath, aside.at, state);
      await rename(folder, aside.folder).catch((error: unknown) => {
        throw systemError("fileMove", `move '${folder}' to '${aside.folder}'`, folder, error);
      });
      await syncDirectory(dirname(folder));
      await forgetOpened(spoolPath, stanza, at);
    });
    await rmdir(at).catch((error: unknown) => {
      if (!isMissing(error) && systemCodeOf(error) !== "ENOTEMPTY")
        throw systemError("pathRemove", `remove path '${at}'`, at, error);
    });
    return existsSync(aside.folder) ? [aside.folder] : [];
  }

  async #forget(): Promise<void> {
    const { account, spoolPath, stanza } = this.#request;
    await forgetOpened(spoolPath, stanza, this.location.at);
    await removeFolder(this.location, account);
  }

  async #locked(ctx: Context, work: (tools: ServingTools) => Promise<void>): Promise<void> {
    const lock = await lockOpening(this.location, this.#request.account, this.#request.self, ctx);
    try {
      await work(lockedTools(this.#tools, lock));
    } finally {
      lock.release();
    }
  }
}

/**
 * Root has made the folder for PostgreSQL's account. The data directory, which would tell the account too, may be gone.
 * @throws fileOwner
 */
export function folderAccount({ folder }: OpenLocation): Account {
  const { gid, uid } = lstatSync(folder);
  if (uid !== 0 && isSafeBeside(folder, uid)) return { gid, uid };
  throw fail("fileOwner", `'${folder}' may belong to another account than PostgreSQL's`, { path: folder });
}

/** No third account can put another directory in its place, and so get a process that has keys. */
export function isSafeBeside(path: string, accountUid: number): boolean {
  const parent = lstatSync(dirname(path), { throwIfNoEntry: false });
  return parent === undefined || ([0, accountUid].includes(parent.uid) && (parent.mode & 0o022) === 0);
}

/** From now on it is like any opened backup: a server on it archives nothing. */
async function makeHarmless(location: OpenLocation, state: OpenState): Promise<void> {
  const { production, ...left } = state;
  if (production === undefined) return;
  const { restoredConf, upper } = location;
  const text = (await textIfThere(`${upper}/${AUTO_CONF}`)) ?? "";
  const kept = withoutSettings(text, production.settings, (await textIfThere(restoredConf)) ?? "");
  await atomicWrite(restoredConf, utf8(`${kept.replace(/\n*$/, "\n")}archive_mode = 'off'\n`), { mode: 0o600 });
  await saveState(location, { ...left, recovery: { ...left.recovery, archiveMode: "off", options: {} } });
}
