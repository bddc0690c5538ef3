/**
 * Tests an SFTP account beyond the contract of storages: the directory's owner, the server's free space, whether files
 * can be deleted and replaced, and whether the server makes them durable. Every file is below one directory, which the
 * caller removes.
 *
 * Free space needs statvfs@openssh.com, durability fsync@openssh.com, atomic replacement posix-rename@openssh.com
 * (OpenSSH, "PROTOCOL"). A missing extension is reported.
 */
import type { Stats } from "ssh2";
import { type ByteStream, streamOf, utf8 } from "../../base/bytes";
import { isError } from "../../base/errors";
import { asked, spaceFact, type Verdict } from "../space";
import type { Space, Storage, StorageFact } from "../storage";
import { isStatus, STATUS } from "./failure";
import { closeHandle } from "./requests";
import type { SftpSession } from "./session";

export interface SftpProbeTarget {
  readonly storage: Pick<Storage, "putStream" | "remove" | "space">;
  /** Absolute directory of the repository on the server. */
  readonly root: string;
  /** Directory of the probe, relative to the storage, and absolute. */
  readonly scratch: string;
  readonly fullScratch: string;
  /**
   * One request, repeated on a new connection if the old one breaks.
   * @throws BackupError with the server's answer as its cause
   */
  ask<T>(doing: string, work: (session: SftpSession) => Promise<T>): Promise<T>;
}

const OTHERS_WRITE = 0o002;

export async function probeSftp(target: SftpProbeTarget): Promise<StorageFact[]> {
  // This account creates it, so its owner is our user.
  const made = await asked("probe", async () => {
    await target.storage.putStream(`${target.scratch}/probe`, probeBytes, { atomic: false });
    return { verdict: "ok", text: "" };
  });
  if (made.verdict !== "ok") return [await asked("owner", () => probeOwner(target, null)), await space(target)];
  return [
    await asked("owner", () => probeOwner(target, `${target.fullScratch}/probe`)),
    await space(target),
    await asked("sync", () => probeSync(target)),
    await asked("replace", () => probeReplace(target)),
    await asked("delete", () => probeDelete(target)),
  ];
}

function probeBytes(): ByteStream {
  return streamOf(utf8("x"));
}

/** SFTP does not name the signed-in user, only a file's owner. @param own a file that this account has just created */
async function probeOwner(target: SftpProbeTarget, own: string | null): Promise<Verdict> {
  const statOf = (path: string): Promise<Stats> =>
    target.ask(`get info for path/file '${path}'`, (session) =>
      session.request<Stats>((sftp, answer) => sftp.stat(path, answer)),
    );
  const root = await statOf(target.root);
  const text = `user ${root.uid}, group ${root.gid}, mode ${(root.mode & 0o7777).toString(8).padStart(4, "0")}`;
  if ((root.mode & OTHERS_WRITE) !== 0)
    return { verdict: "warn", text: `${text}: every account of the server can delete the backups` };
  if (own === null) return { verdict: "ok", text };
  const { uid } = await statOf(own);
  if (uid === root.uid) return { verdict: "ok", text: `${text}: this account's own` };
  return {
    verdict: "warn",
    text: `${text}: owned by another account than this one (user ${uid}), which may withdraw the right to write`,
  };
}

async function space({ storage }: SftpProbeTarget): Promise<StorageFact> {
  return asked("space", async () => {
    const known = (await storage.space?.()) ?? null;
    return known === null ? { verdict: "skip", text: "the server does not report its free space" } : spaceFact(known);
  });
}

/** Null without the extension. */
export async function spaceAt({ ask, root }: Pick<SftpProbeTarget, "ask" | "root">): Promise<Space | null> {
  const request = ask("get free space", (session) =>
    session.request<unknown>((sftp, answer) => sftp.ext_openssh_statvfs(root, answer)),
  );
  const reply = await request.catch((error: unknown) => {
    if (isError(error) && isStatus(error.cause, STATUS.unsupported)) return null;
    throw error;
  });
  if (typeof reply !== "object" || reply === null) return null;
  const fields = Object.entries(reply);
  const number = (name: string): number => Number(fields.find(([field]) => field === name)?.[1] ?? 0);
  const blockSizeBytes = number("f_frsize") || number("f_bsize");
  return { freeBytes: number("f_bavail") * blockSizeBytes, totalBytes: number("f_blocks") * blockSizeBytes };
}

function probeSync(target: SftpProbeTarget): Promise<StorageFact> {
  const file = `${target.fullScratch}/probe`;
  return unlessUnsupported(
    "sync",
    "the server does not confirm that files are durable: a power failure may lose them",
    async () => {
      await target.ask(`sync '${file}'`, async (session) => {
        const handle = await session.request<Buffer>((sftp, answer) => sftp.open(file, "r+", answer));
        try {
          await session.request<unknown>((sftp, answer) => sftp.ext_openssh_fsync(handle, answer));
        } finally {
          closeHandle(session, handle);
        }
      });
      return { verdict: "ok", text: "written files are durable" };
    },
  );
}

function probeReplace(target: SftpProbeTarget): Promise<StorageFact> {
  const { fullScratch } = target;
  const less = "the server does not replace a file atomically: for a moment the file does not exist";
  return unlessUnsupported("replace", less, async () => {
    await target.storage.putStream(`${target.scratch}/newer`, probeBytes, { atomic: false });
    try {
      await target.ask(`move '${fullScratch}/newer' to '${fullScratch}/probe'`, (session) =>
        session.request<void>((sftp, answer) =>
          sftp.ext_openssh_rename(`${fullScratch}/newer`, `${fullScratch}/probe`, (error) => answer(error)),
        ),
      );
    } catch (error) {
      if (!isDenied(error)) throw error;
      return { verdict: "fail", text: "this account cannot replace a file, which info files require" };
    }
    return { verdict: "ok", text: "a file is replaced atomically" };
  });
}

/**
 * Without snapshots on the server deleted files are lost. An account that cannot delete does not help, because backups
 * expire and info files change.
 */
async function probeDelete(target: SftpProbeTarget): Promise<Verdict> {
  try {
    await target.storage.remove(`${target.scratch}/probe`);
  } catch (error) {
    if (!isDenied(error)) throw error;
    return {
      verdict: "fail",
      text: "this account cannot delete files (append-only): expired backups would stay until the server is full",
    };
  }
  return {
    verdict: "warn",
    text: "this account can delete files: a thief of its key can destroy every backup, unless the server keeps its own snapshots",
  };
}

/** Denied by the account's rights or by the server's list of requests. */
function isDenied(error: unknown): boolean {
  return isError(error) && isStatus(error.cause, STATUS.permissionDenied);
}

async function unlessUnsupported(name: string, less: string, probe: () => Promise<Verdict>): Promise<StorageFact> {
  return asked(name, async () => {
    try {
      return await probe();
    } catch (error) {
      if (!(isError(error) && isStatus(error.cause, STATUS.unsupported))) throw error;
      return { verdict: "warn", text: less };
    }
  });
}
