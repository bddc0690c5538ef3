/**
 * The directory of the pages that clones of one place share, beside them:
 *
 * ```
 * <parent>/.shared/          0700, of PostgreSQL's account
 *   users/<SHA-1 of a path>  one for each clone: the last one takes everything with it
 *   pages/                   see sharedPages.ts
 * ```
 */
import { dirname } from "node:path";
import type { Context } from "../../base/context";
import { sha1Hex } from "../../base/hash";
import { actAs, requireDirectoryOf } from "../../local/actAs";
import { acquireLock, acquireWithin, type LockHolder } from "../../local/lockFile";
import { existsSync, mkdir, readdir, rm, writeFile } from "../../local/nodeFiles";
import type { Account } from "../open/tree";

export interface ShareRequest {
  readonly at: string;
  /** PostgreSQL's. */
  readonly account: Account;
  readonly lockPath: string;
  readonly self: LockHolder;
}

const LOCK_MS = 10_000;
const POLL_MS = 50;

/** The directory for pages; the clone uses it until it leaves. @throws pathCreate, fileOwner, lockAcquire */
export function joinShare(request: ShareRequest, ctx: Context): Promise<string> {
  const { account, at } = request;
  const share = shareOf(at);
  return locked(request, ctx, async () => {
    await requireDirectoryOf(account, share, "which clones have");
    await actAs(account, async () => {
      for (const name of ["pages", "users"]) await mkdir(`${share}/${name}`, { recursive: true, mode: 0o700 });
      await writeFile(userFile(at), `${at}\n`, { mode: 0o600 });
    });
    return `${share}/pages`;
  });
}

/** Removes the pages after the last clone. Nothing happens to a clone that shares nothing. @throws lockAcquire */
export async function leaveShare(request: ShareRequest, ctx: Context): Promise<void> {
  const { account, at } = request;
  const share = shareOf(at);
  if (!existsSync(userFile(at))) return;
  await locked(request, ctx, () =>
    actAs(account, async () => {
      await rm(userFile(at), { force: true });
      if ((await readdir(`${share}/users`)).length > 0) return;
      for (const name of ["pages", "users"]) await rm(`${share}/${name}`, { recursive: true, force: true });
    }),
  );
}

function shareOf(at: string): string {
  return `${dirname(at)}/.shared`;
}

function userFile(at: string): string {
  return `${shareOf(at)}/users/${sha1Hex(at)}`;
}

async function locked<T>({ at, lockPath, self }: ShareRequest, ctx: Context, work: () => Promise<T>): Promise<T> {
  const request = { lockPath, stanza: `share-${sha1Hex(shareOf(at))}`, kind: "cloning", ...self } as const;
  const lock = await acquireWithin(() => acquireLock(request), { pollMs: POLL_MS, withinMs: LOCK_MS }, ctx);
  try {
    return await work();
  } finally {
    lock.release();
  }
}
