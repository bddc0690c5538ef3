/** With whose rights a command of root works, and which commands root leaves to PostgreSQL's account. */
import { type BackupError, fail } from "../base/errors";
import { COMMAND_TABLE } from "../config/commands";
import type { FileAccount } from "../config/load";
import type { Config } from "../config/types";
import { becomeAccount } from "../local/actAs";
import type { OwnedDirectory } from "../local/trust";
import { loadUserNames } from "../local/users";
import { askedDrill } from "../operations/drill/askedDrill";
import { shellQuote } from "../operations/restore/recovery";

/**
 * Gives up root's rights for good, so that nothing that the account's configuration names is run or touched with them.
 * @param ownCommand arguments that start this command again
 * @throws fileOwner (88) for a command that needs root's rights
 */
export function obeyWithRightsOf(account: FileAccount, config: Config, ownCommand: readonly string[]): void {
  if (needsRoot(config)) throw notRoots(account, config, ownCommand);
  becomeAccount(account);
}

/** Root must not obey this configuration. */
export function notRoots(
  { name, path }: FileAccount,
  { command }: Pick<Config, "command">,
  ownCommand: readonly string[],
): BackupError {
  const fact = `${command} works with root's rights, and account ${name} can change its configuration ('${path}')`;
  return fail("fileOwner", fact, {
    hint: [
      `Let only root change it: chown root '${path}' && chmod go-w '${path}'.`,
      `Or run it with that account's rights: ${commandAs(name, ownCommand)}`,
    ],
    path,
  });
}

/** True for what mounts, moves PostgreSQL's directory, or reads a container's files. */
export function needsRoot(config: Config): boolean {
  const { command, extract, settings } = config;
  if (settings.container !== undefined || COMMAND_TABLE[command].root === true) return true;
  return command === "extract-table" ? extract.open : command === "drill" && askedDrill(config).how === "open";
}

/**
 * As stock since 2.59: the account of the data, of a repository or of the lock path could not use root's files there.
 * @throws optionInvalid (31)
 */
export function requireAccount(
  { allowRoot, command, settings }: Config,
  directories: readonly OwnedDirectory[],
  ownCommand: readonly string[],
): void {
  // Only root can read a container's files.
  if (allowRoot || settings.container !== undefined || COMMAND_TABLE[command].writes !== true) return;
  const used = directories.find(({ uid }) => uid !== 0);
  if (used === undefined) return;
  const name = loadUserNames().userName(used.uid) ?? `#${used.uid}`;
  throw fail(
    "optionInvalid",
    `${command} runs as root, but account ${name} owns '${used.path}' and could not use root's files`,
    {
      hint: [
        `Run it as that account: ${commandAs(name, ownCommand)}`,
        "Or set allow-root=y if root runs every command here, archive_command too.",
      ],
      path: used.path,
    },
  );
}

/** The command line has no secrets. */
function commandAs(name: string, ownCommand: readonly string[]): string {
  return ["sudo", "-u", name, ...ownCommand].map(shellQuote).join(" ");
}
