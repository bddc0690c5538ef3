/**
 * Writes the recovery settings of the restored server: postgresql.auto.conf and the signal file. Other configuration
 * files stay as they are; {@link guardsOf} says which of their settings are overridden for the recovery.
 */
import type { AccountIds } from "../../local/actAs";
import { chown, lstat, readdir } from "../../local/nodeFiles";
import { formatLocalSeconds } from "../../base/clock";
import { utf8 } from "../../base/bytes";
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import type { RecoveryLimits } from "../../format/page/pgControl";
import { atomicWrite } from "../../local/atomicWrite";
import { textIfThere } from "../../local/systemError";
import { readConfig } from "../shared/configFiles";
import { settingIn } from "../shared/settingsText";
import { namesOf, type RecoveryRequest, recoveryFiles } from "./recovery";
import { guardsOf, withGuards, withoutGuards } from "./recoveryGuards";

export interface SettingsTarget {
  readonly dataDirectory: string;
  /** Mode of new files. */
  readonly mode: number;
  /** Null does not change the owner. */
  readonly owner: AccountIds | null;
  /** Limits in the restored pg_control. */
  readonly limits: RecoveryLimits;
  readonly inContainer?: boolean;
}

const TARGET = /^recovery_target(_lsn|_name|_time|_xid)?$/;

export const AUTO_CONF = "postgresql.auto.conf";

/** Type `preserve` changes nothing. */
export async function writeSettings(request: RecoveryRequest, target: SettingsTarget, ctx: Context): Promise<void> {
  const autoConf = `${target.dataDirectory}/${AUTO_CONF}`;
  if (request.type === "preserve") {
    if ((await lstat(autoConf).catch(() => null)) === null)
      ctx.log.warn(`recovery type is preserve but recovery file does not exist at '${autoConf}'`);
    return;
  }
  const existing = withoutGuards((await textIfThere(autoConf)) ?? "");
  const files = recoveryFiles(request, existing, formatLocalSeconds(ctx.clock.nowMs()));
  if (files.autoConf !== null) {
    await write(autoConf, await guarded(files.autoConf, request, target, ctx), target);
    ctx.log.info(`write updated ${autoConf}`);
  }
  if (files.signal !== null) await write(`${target.dataDirectory}/${files.signal}`, "", target);
}

async function guarded(text: string, request: RecoveryRequest, target: SettingsTarget, ctx: Context): Promise<string> {
  const texts = await configTexts(target, ctx);
  const own = namesOf(request);
  const { type } = request;
  const hasTarget = own.has("recovery_target") || own.has(`recovery_target_${type}`);
  const all = texts === null ? null : [...texts, text];
  const pauses = hasTarget && request.targetAction === "pause";
  const guards = guardsOf({ type, pauses, own, texts: all, limits: target.limits });
  const until = type === "standby" ? "" : " until recovery ends";
  for (const [name, value] of Object.entries(guards)) {
    const instead = settingIn(name, all ?? []);
    // The value may be a command with a secret.
    if (instead !== null && instead !== value)
      ctx.log.info(`${name} = '${value}' replaces the configuration's${until}`);
  }
  // The recovery's own target stays too, and with two of them the server would not start again.
  const isRival = ([name]: [string, string]): boolean =>
    TARGET.test(name) && (all === null || (settingIn(name, all) ?? "") !== "");
  const rivals = hasTarget ? Object.entries(guards).filter(isRival) : [];
  return withGuards(text, guards, Object.fromEntries(rivals));
}

/** Null if the server's configuration is somewhere else, or unreadable: the server will report that if it matters. */
async function configTexts({ dataDirectory, inContainer }: SettingsTarget, ctx: Context): Promise<string[] | null> {
  const texts: string[] = [];
  try {
    texts.push(
      ...(await textsOf(`${dataDirectory}/postgresql.conf`, inContainer === true ? dataDirectory : undefined)),
    );
  } catch (error) {
    ctx.log.warn(`unable to search the server's configuration for recovery settings: ${toBackupError(error).message}`);
    return null;
  }
  for (const path of inContainer === true ? [] : await debianConfigs()) {
    // Another cluster's files may be another account's.
    const others = await textsOf(path).catch(() => []);
    if (settingIn("data_directory", others) === dataDirectory) texts.push(...others);
  }
  return texts.length === 0 ? null : texts;
}

async function textsOf(path: string, within?: string): Promise<string[]> {
  return (await readConfig(path, "settings", within)).map(({ content }) => Buffer.from(content).toString("latin1"));
}

/** Debian's postgresql-common keeps them outside of the data directories. */
async function debianConfigs(): Promise<string[]> {
  const paths: string[] = [];
  for (const major of await readdir(DEBIAN_CONFIGS).catch(() => []))
    for (const name of await readdir(`${DEBIAN_CONFIGS}/${major}`).catch(() => []))
      paths.push(`${DEBIAN_CONFIGS}/${major}/${name}/postgresql.conf`);
  return paths;
}

const DEBIAN_CONFIGS = "/etc/postgresql";

async function write(path: string, text: string, target: SettingsTarget): Promise<void> {
  await atomicWrite(path, utf8(text), { mode: target.mode });
  if (target.owner !== null) await chown(path, target.owner.uid, target.owner.gid);
}

/** Changes the settings of a data directory whose server is stopped; an equal text writes nothing. */
export async function changeAutoConf(
  dataDirectory: string,
  change: (text: string) => string,
  account: AccountIds | null,
): Promise<void> {
  const path = `${dataDirectory}/${AUTO_CONF}`;
  const text = (await textIfThere(path)) ?? "";
  const changed = change(text);
  if (changed === text) return;
  await atomicWrite(path, utf8(changed), { mode: 0o600 });
  if (account !== null) await chown(path, account.uid, account.gid);
}
