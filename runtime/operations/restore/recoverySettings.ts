/**
 * Writes the recovery settings of the restored server: postgresql.auto.conf and the signal file, and no old target
 * anywhere else.
 */
import type { AccountIds } from "../../local/actAs";
import { chown, lstat, realpath, stat } from "../../local/nodeFiles";
import { formatLocalSeconds } from "../../base/clock";
import { utf8 } from "../../base/bytes";
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { atomicWrite } from "../../local/atomicWrite";
import { textIfThere } from "../../local/systemError";
import { type ConfigFile, readConfig } from "../shared/configFiles";
import { type RecoveryRequest, recoveryFiles, withoutTargets } from "./recovery";

export interface SettingsTarget {
  readonly dataDirectory: string;
  /** Mode of new files. */
  readonly mode: number;
  /** Null does not change the owner. */
  readonly owner: AccountIds | null;
  readonly inContainer?: boolean;
}

export const AUTO_CONF = "postgresql.auto.conf";

/** Type `preserve` changes nothing. */
export async function writeSettings(request: RecoveryRequest, target: SettingsTarget, ctx: Context): Promise<void> {
  const autoConf = `${target.dataDirectory}/${AUTO_CONF}`;
  if (request.type === "preserve") {
    if ((await lstat(autoConf).catch(() => null)) === null)
      ctx.log.warn(`recovery type is preserve but recovery file does not exist at '${autoConf}'`);
    return;
  }
  const timeText = formatLocalSeconds(ctx.clock.nowMs());
  await removeOldTargets(target, timeText, ctx);
  const files = recoveryFiles(request, (await textIfThere(autoConf)) ?? "", timeText);
  if (files.autoConf !== null) {
    await write(autoConf, files.autoConf, target);
    ctx.log.info(`write updated ${autoConf}`);
  }
  if (files.signal !== null) await write(`${target.dataDirectory}/${files.signal}`, "", target);
}

/** Only in the data directory's configuration files; the restore does not own other files. */
async function removeOldTargets(target: SettingsTarget, timeText: string, ctx: Context): Promise<void> {
  const root = await realpath(target.dataDirectory);
  for (const file of await findConfig(target, ctx)) {
    const path = await realpath(file.path);
    const { text, count } = withoutTargets(Buffer.from(file.content).toString("latin1"), timeText);
    if (count === 0) continue;
    if (!path.startsWith(`${root}/`)) {
      ctx.log.warn(
        `'${path}' sets a recovery target and is outside of the data directory: remove the setting before the server starts`,
      );
      continue;
    }
    const info = await stat(path);
    await atomicWrite(path, Buffer.from(text, "latin1"), { mode: info.mode & 0o7777 });
    if (target.owner !== null) await chown(path, info.uid, info.gid);
    ctx.log.info(`old recovery target removed from ${path}`);
  }
}

/** Skips unreadable files: the server will report them if they matter. */
async function findConfig(target: SettingsTarget, ctx: Context): Promise<ConfigFile[]> {
  const path = `${target.dataDirectory}/postgresql.conf`;
  try {
    return await readConfig(path, "settings", target.inContainer === true ? target.dataDirectory : undefined);
  } catch (error) {
    ctx.log.warn(`unable to search '${path}' for old recovery targets: ${toBackupError(error).message}`);
    return [];
  }
}

async function write(path: string, text: string, target: SettingsTarget): Promise<void> {
  await atomicWrite(path, utf8(text), { mode: target.mode });
  if (target.owner !== null) await chown(path, target.owner.uid, target.owner.gid);
}
