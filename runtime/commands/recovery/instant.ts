/** `recover --instant`: what this machine can do, and the process that serves the files. */
import { fail } from "../../base/errors";
import { existsSync } from "../../local/nodeFiles";
import { isDeadMount, openLocation } from "../../operations/open/openLocation";
import { productionSettings } from "../../operations/recover/productionSettings";
import { isSafeBeside, ProductionDirectory } from "../../operations/recover/productionDirectory";
import { type Instant, MOVE_AT } from "../../operations/recover/instant";
import type { InstantFacts } from "../../operations/recover/instantPlan";
import type { InstantMemory, Journal } from "../../operations/recover/recoveryJournal";
import type { RecoverSource } from "../../operations/recover/recoverSource";
import type { CommandProcess, Invocation } from "../../process/commandProcess";
import { untilDecided } from "../opened";
import { SERVING_ENVIRONMENT } from "./open";
import { carriedArgs, hasLentKeys, recoveryOptionsOf, SELINUX } from "./recoverTools";

/** Null without `--instant`. @throws optionInvalid, optionInvalidValue */
export function instantFactsOf(
  proc: CommandProcess,
  dataDirectory: string,
  account: { readonly uid: number },
): InstantFacts | null {
  const moveAt = moveAtOf(proc);
  if (!proc.config.recover.instant) {
    if (moveAt === undefined) return null;
    throw fail("optionInvalid", "recover has --move-at only with --instant");
  }
  return {
    isRoot: proc.self.uid === 0,
    hasFuse: existsSync("/dev/fuse"),
    hasLabels: existsSync(SELINUX),
    isContainer: proc.container !== undefined,
    hasLentKeys: hasLentKeys(proc),
    isLeft: existsSync(`${dataDirectory}.pgbackstop`),
    isShared: !isSafeBeside(dataDirectory, account.uid),
    moveAt: moveAt ?? null,
  };
}

/** Null moves the files as soon as all are here. @throws optionInvalidValue */
export function moveAtOf({ config }: Invocation): string | null | undefined {
  const { moveAt } = config.recover;
  if (moveAt === "now") return null;
  if (moveAt === undefined || MOVE_AT.test(moveAt)) return moveAt;
  throw fail("optionInvalidValue", `'${moveAt}' is not valid for 'move-at' option`, {
    hint: "It is a local time of the day, as 02:00, or now.",
  });
}

/** For a recovery that has begun. @throws featureNotSupported */
export function requireServable(proc: Invocation): void {
  if (!hasLentKeys(proc)) return;
  throw fail("featureNotSupported", "recover --instant cannot continue with keys that systemd lends to one command", {
    hint: "On a host with an agent, run sudo pgbackstop recover --instant again.",
  });
}

export function instantMemoryOf(
  proc: CommandProcess,
  { pgVersion, targetTimeline }: RecoverSource,
  oldWal: Journal["oldWal"],
): InstantMemory {
  const { config } = proc;
  const { target, targetAction, targetExclusive, type } = config.restore;
  return {
    recovery: {
      type,
      target,
      targetAction,
      targetExclusive,
      targetTimeline,
      archiveMode: "preserve",
      options: recoveryOptionsOf(proc),
    },
    production: { oldWal, settings: productionSettings(pgVersion) },
    moveAt: moveAtOf(proc) ?? null,
  };
}

/** Behind a mount whose serving process has died, what it served is still on the disk. */
export function seenOf(dataDirectory: string): string {
  return isDeadMount(dataDirectory) ? openLocation(dataDirectory).upper : dataDirectory;
}

/** Null for a recovery that is not instant. */
export function instantOf(proc: CommandProcess, journal: Journal): Instant | null {
  const { config, ctx } = proc;
  const { account, dataDirectory, instant, label, request } = journal;
  if (instant === undefined) return null;
  const serving = {
    account,
    recovery: instant.recovery,
    production: instant.production,
    self: proc.process,
    spoolPath: config.spoolPath,
    stanza: config.stanza ?? "",
  };
  const args = [
    ...carriedArgs(config),
    `--stanza=${config.stanza ?? ""}`,
    "open:async",
    `--at=${dataDirectory}`,
    `--set=${label}`,
    ...(request.repoIndex === undefined ? [] : [`--repo=${request.repoIndex}`]),
  ];
  const directory = new ProductionDirectory(dataDirectory, serving, {
    untilDecided: () => untilDecided(proc),
    startServing: (fds, logFd) => proc.startBackground({ fds, logFd, env: SERVING_ENVIRONMENT, args }),
    program: (argv, lock) => proc.program(argv, { signal: ctx.signal, lock }),
  });
  return {
    directory,
    moveAt: instant.moveAt,
    isBusy: () => proc.isLocked("backup"),
    onOpen: ({ opened }) =>
      proc.print(
        `The server of ${dataDirectory} is open, on timeline ${opened.timeline}. Everything else is fetched behind it.\n` +
          "This command may be interrupted: pgbackstop recover continues, and pgbackstop status shows how much is here.\n",
      ),
  };
}
