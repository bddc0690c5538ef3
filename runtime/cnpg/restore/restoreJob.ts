/**
 * RestoreJobHooks: restores the data directory of a new cluster, alongside its recovery job.
 *
 * The operator writes the recovery target and its own restore_command. Recovery settings in the backup would override
 * them and are removed. A failed job is repeated in a new pod on the same volume: the restore compares and continues.
 */
import { guardedByMark } from "../../base/recoveryExit";
import { copyFile, lstat, mkdir, open, readdir, readFile, rm, symlink } from "../../local/nodeFiles";
import { utf8 } from "../../base/bytes";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { atomicWrite, syncDirectory } from "../../local/atomicWrite";
import { nullIfMissing } from "../../local/systemError";
import { given } from "../../base/given";
import { NEUTRAL, withoutGuards } from "../../operations/restore/recoveryGuards";
import { settingIn, type Settings, settingLines } from "../../operations/shared/settingsText";
import { restoreJobCapabilities } from "../grpc/answers";
import { at, type JsonObject, parseObject, textAt } from "../kubernetes/clusterObject";
import type { RestoreRequest } from "../grpc/messages";
import type { PluginService } from "../grpc/grpcServer";

export interface RestoreJobParts {
  readonly dataDirectory: string;
  /** Runs the program's `restore` with these additional arguments; the callback gets its errors. */
  run(args: readonly string[], signal: AbortSignal, onOutput: (text: string) => void): Promise<number>;
  /** Reports the result where people look for it; never throws. */
  report(cluster: JsonObject, outcome: { readonly ok: boolean; readonly message: string }): Promise<void>;
}

/** Mount point of the WAL volume, and the directory that the instance manager links. */
const WAL_DIRECTORY = "/var/lib/postgresql/wal/pg_wal";
const RESTORE_COMMAND = guardedByMark(
  "/controller/manager wal-restore --log-destination /controller/log/postgres.json %f %p",
);
const ERROR_LENGTH_MAX = 4000;
const TARGET = ["spec", "bootstrap", "recovery", "recoveryTarget"] as const;

export function restoreJobService(parts: RestoreJobParts, ctx: Context): PluginService {
  return {
    name: "restoreJob",
    methods: {
      GetCapabilities: () => restoreJobCapabilities(),
      Restore: async (request: RestoreRequest, gone) => {
        const cluster = parseObject(request.cluster_definition, "cluster");
        const args = restoreArgs(cluster);
        ctx.log.info(`restore for cluster '${textAt(cluster, "metadata", "name")}': ${args.join(" ")}`);
        const beganMs = ctx.clock.monotonicMs();
        let output = "";
        const exitCode = await parts.run(args, AbortSignal.any([ctx.signal, gone]), (text) => {
          output = `${output}${text}`.slice(-ERROR_LENGTH_MAX);
        });
        if (exitCode !== 0) {
          const message = output.trim() || `the restore ended with code ${exitCode}`;
          await parts.report(cluster, { ok: false, message });
          throw fail("command", message);
        }
        const timeline = textAt(cluster, ...TARGET, "targetTLI") === undefined ? await chosenTimeline(parts) : null;
        await removeRecovery(parts.dataDirectory);
        if (at(cluster, "spec", "walStorage") !== undefined) await linkWal(parts.dataDirectory, WAL_DIRECTORY);
        const seconds = ((ctx.clock.monotonicMs() - beganMs) / 1000).toFixed(1);
        await parts.report(cluster, {
          ok: true,
          message: `the data directory was restored in ${seconds} s; recovery begins`,
        });
        return {
          restore_config: `${settingLines({ ...recoverySettings(cluster), ...timeline }).join("\n")}\n`,
          envs: [],
        };
      },
    },
  };
}

/**
 * Settings that the operator adds to its own, which are of the new cluster's definition. Hot standby stays on: the
 * operator asks the server whether recovery has ended, and gives up at any error (CloudNativePG 1.30 "restore.go",
 * waitUntilRecoveryFinishes). A replica's recovery never ends.
 */
function recoverySettings(cluster: JsonObject): Settings {
  const command = { restore_command: RESTORE_COMMAND };
  if (at(cluster, "spec", "replica") !== undefined) return { recovery_target_action: "promote", ...command };
  const { recovery_min_apply_delay, archive_cleanup_command, recovery_end_command } = NEUTRAL;
  return {
    ...given({ recovery_min_apply_delay, archive_cleanup_command, recovery_end_command }),
    recovery_target_action: "promote",
    ...command,
  };
}

/**
 * The backup that `spec.bootstrap.recovery.recoveryTarget` selects. Pure.
 * @throws optionInvalid for targets that need a backup by name
 */
export function restoreArgs(cluster: JsonObject): string[] {
  const target = at(cluster, ...TARGET);
  const set = textAt(target, "backupID");
  const timeline = textAt(target, "targetTLI");
  const common = ["--delta", ...(set === undefined ? [] : [`--set=${set}`])];
  const along = timeline === undefined ? [] : [`--target-timeline=${timeline}`];
  const named = (type: string, text: string): string[] => [
    "restore",
    `--type=${type}`,
    `--target=${text}`,
    "--target-action=promote",
    ...along,
    ...common,
  ];
  const time = textAt(target, "targetTime");
  if (time !== undefined) return named("time", timeOf(time));
  const lsn = textAt(target, "targetLSN");
  if (lsn !== undefined) return named("lsn", lsn);
  const needsSet = (["targetName", "targetXID"] as const).find((name) => textAt(target, name) !== undefined);
  if ((needsSet !== undefined || at(target, "targetImmediate") === true) && set === undefined) {
    throw fail(
      "optionInvalid",
      `recoveryTarget.${needsSet ?? "targetImmediate"} needs recoveryTarget.backupID, because this target does not determine the backup`,
    );
  }
  if (at(target, "targetImmediate") === true)
    return ["restore", "--type=immediate", "--target-action=promote", ...common];
  return ["restore", ...along, ...common];
}

/** CloudNativePG accepts RFC 3339 and more; a time without a zone is UTC there. */
function timeOf(text: string): string {
  return /([zZ]|[+-]\d{2}(:?\d{2})?)$/.test(text.replace(/^\d{4}-\d{2}-\d{2}/, ""))
    ? text.replace(/[zZ]$/, "+00")
    : `${text}+00`;
}

const RECOVERY_SETTING =
  /^[ \t]*(restore_command|recovery_\w+|archive_cleanup_command|primary_conninfo|primary_slot_name)\b/i;

/** The timeline that the restore has chosen, if PostgreSQL would follow another one. */
async function chosenTimeline({ dataDirectory }: RestoreJobParts): Promise<Settings | null> {
  const text = await nullIfMissing(readFile(`${dataDirectory}/postgresql.auto.conf`, "utf8"));
  const timeline = settingIn("recovery_target_timeline", [text ?? ""]);
  return timeline === null || !/^\d+$/.test(timeline) ? null : { recovery_target_timeline: timeline };
}

/** Settings and signals of an earlier recovery: the operator writes its own. */
async function removeRecovery(dataDirectory: string): Promise<void> {
  const path = `${dataDirectory}/postgresql.auto.conf`;
  const text = (await nullIfMissing(readFile(path, "utf8"))) ?? "";
  const kept = withoutGuards(text)
    .split("\n")
    .filter((line) => !RECOVERY_SETTING.test(line))
    .join("\n");
  if (kept !== text) await atomicWrite(path, utf8(kept), { mode: 0o600 });
  for (const name of ["recovery.signal", "standby.signal"]) await rm(`${dataDirectory}/${name}`, { force: true });
  await syncDirectory(dataDirectory);
}

/** WAL on its own volume: CloudNativePG 1.30 leaves the link to plugins; later versions accept an existing one. */
export async function linkWal(dataDirectory: string, walDirectory: string): Promise<void> {
  const path = `${dataDirectory}/pg_wal`;
  if ((await lstat(path)).isSymbolicLink()) return;
  // Segments of an earlier attempt on the volume equal the archive's or begin like it, and a recovery asks the archive
  // first.
  await mkdir(`${walDirectory}/archive_status`, { recursive: true, mode: 0o700 });
  // A backup with archive-copy brings segments that the archive may no longer have.
  for (const file of await readdir(path, { withFileTypes: true }))
    if (file.isFile()) await copyToVolume(`${path}/${file.name}`, `${walDirectory}/${file.name}`);
  await syncDirectory(walDirectory);
  await rm(path, { recursive: true });
  await symlink(walDirectory, path);
  await syncDirectory(dataDirectory);
}

async function copyToVolume(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  const handle = await open(to, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
