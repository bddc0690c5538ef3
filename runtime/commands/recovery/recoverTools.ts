/** How `recover` and `rollback` run other programs, and this one as PostgreSQL's account with its keys. */
import { type BackupError, type ErrorKind, ERRORS, fail } from "../../base/errors";
import { type AccountIds, actAs, groupOf } from "../../local/actAs";
import { existsSync } from "../../local/nodeFiles";
import type { Owner } from "../../operations/recover/hostFacts";
import type { RecoverTools } from "../../operations/recover/recover";
import type { ClusterAccess, CommandProcess, Invocation, ProgramAccess } from "../../process/commandProcess";
import { archiveGetLine, fromRepository, LENT_ARG } from "./restore";

/** Exists on a machine with SELinux ("selinux(8)"). */
export const SELINUX = "/sys/fs/selinux/enforce";
/** Arguments that a launcher adds. */
const LAUNCHER_ARGS = /^--(no-)?(config|config-path|config-include-path|settings|stanza)(=|$)/;
const LAUNCHER = "/usr/local/bin/pgbackstop";
const LOG_ARGS = ["--log-format=json", "--log-level-console=off", "--log-level-stderr=info", "--log-level-file=off"];

/** Starts a program as another account, with its own groups. */
export function asAccountArgs(account: AccountIds): string[] {
  return ["setpriv", `--reuid=${account.uid}`, `--regid=${groupOf(account)}`, "--init-groups", "--"];
}

/** As root, steps of the account go through the launcher, which has the keys, or run as the account directly. */
export function toolsOf(proc: CommandProcess, account: Owner): RecoverTools {
  const { config, ctx, ownCommand, self } = proc;
  const isRoot = self.uid === 0;
  // A container's account is not this machine's, and may read neither the configuration nor the engine's folders.
  const inContainer = proc.container !== undefined;
  const asAccount = isRoot && !inContainer ? asAccountArgs(account) : [];
  const carried = carriedArgs(config);
  const stanza = `--stanza=${config.stanza ?? ""}`;
  const launcher = config.recover.launcher ?? (hasLentKeys(proc) ? LAUNCHER : undefined);
  const program: readonly string[] =
    isRoot && launcher !== undefined
      ? [launcher, ...carried.filter((arg) => !LAUNCHER_ARGS.test(arg))]
      : [...asAccount, ...ownCommand, ...carried, stanza];
  return {
    asAccount: (work) => (inContainer ? work() : actAs(account, work)),
    archiveGet: (repoIndex) => (inContainer ? "false" : archiveGetOf(proc, [...carried, stanza], repoIndex)),
    bringsWal: inContainer,
    hasLabels: isRoot && existsSync(SELINUX),
    isRoots: inContainer,
    program: (args, needsAccount) =>
      proc.program([...(needsAccount ? asAccount : []), ...args], {
        signal: ctx.signal,
        onLine: (line) => ctx.log.detail(line),
      }),
    self: async (args, signal) => {
      let error: BackupError | undefined;
      const onLine = (line: string): void => {
        error = relay(line, proc) ?? error;
      };
      const ended = await proc.program([...program, ...args, ...LOG_ARGS], {
        signal,
        onErrorLine: onLine,
        isOwn: true,
      });
      return { ...ended, ...(error === undefined ? {} : { error }) };
    },
  };
}

export function hasLentKeys({ config }: Pick<Invocation, "config">): boolean {
  return config.carriedOptions.some((arg) => LENT_ARG.test(arg));
}

/** Steps that need more get it by name: one that writes must not see the past. */
export function carriedArgs({ carriedOptions }: Invocation["config"]): string[] {
  return carriedOptions.filter((arg) => !/^--repo(-target-time)?=/.test(arg));
}

/** The configuration's restore_command (a host's agent answers it), else this program. */
function archiveGetOf(
  proc: Invocation & ClusterAccess & ProgramAccess,
  args: readonly string[],
  repoIndex: number | undefined,
): string {
  const configured = restoreCommandIn(configuredOptions(proc, args));
  return configured === undefined ? archiveGetLine(proc, repoIndex) : fromRepository(configured, repoIndex);
}

/** Recovery settings of a restore of this cluster, always with a restore_command. */
export function recoveryOptionsOf(proc: Invocation & ClusterAccess & ProgramAccess): Readonly<Record<string, string>> {
  const { config } = proc;
  const configured = configuredOptions(proc, [...carriedArgs(config), `--stanza=${config.stanza ?? ""}`]);
  const others = Object.entries(configured).filter(([name]) => !/^restore[-_]command$/.test(name));
  return { ...Object.fromEntries(others), restore_command: restoreCommandIn(configured) ?? archiveGetLine(proc) };
}

function restoreCommandIn(options: Readonly<Record<string, string>>): string | undefined {
  return options["restore_command"] ?? options["restore-command"];
}

function configuredOptions(
  proc: Pick<ProgramAccess, "other">,
  args: readonly string[],
): Readonly<Record<string, string>> {
  try {
    return proc.other({ args: [...args, "restore"], secretsPath: "", moved: {} }).config.restore.recoveryOptions;
  } catch {
    // Without any key the configuration cannot be read as a restore's.
    return {};
  }
}

interface LogLine {
  readonly level?: string;
  readonly text?: string;
  readonly code?: number;
  readonly hints?: readonly string[];
}

/** Logs a line of another process; returns its error, to be thrown. */
function relay(text: string, { ctx: { log } }: Invocation): BackupError | null {
  let line: LogLine;
  try {
    line = JSON.parse(text) as LogLine;
  } catch {
    if (text.trim() !== "") log.warn(text);
    return null;
  }
  const message = line.text ?? "";
  if (line.level === "error" || line.level === "assert")
    return fail(kindOf(line.code), message, { hint: line.hints ?? [] });
  if (line.level === "warn") log.warn(message);
  else if (!/ command (begin|end)/.test(message)) log.info(message);
  return null;
}

function kindOf(code: number | undefined): ErrorKind {
  const [kind] = Object.entries(ERRORS).find(([, own]) => own === code) ?? [];
  return (kind as ErrorKind | undefined) ?? "execute";
}
