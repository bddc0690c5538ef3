/** Whether the server can start on the restored data, as far as this is known before it is stopped. */
import type { AccountIds } from "../../local/actAs";
import { existsSync } from "../../local/nodeFiles";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import type { ContainerServer } from "../../postgres/container/serverContainer";
import { isVersion, versionOf } from "../../postgres/programs";
import type { HostFacts } from "./hostFacts";

export interface StartQuestion {
  readonly facts: Pick<HostFacts, "debianCluster" | "startedWith">;
  /** Undefined if PostgreSQL runs on this machine itself. */
  readonly container: Pick<ContainerServer, "findPrograms"> | undefined;
  /** Major version of the backup. */
  readonly pgVersion: string;
  readonly account: AccountIds;
  /** Starts a program as that account. */
  readonly asAccount: readonly string[];
  /** The settings file has a command, and may start anything. */
  readonly isConfigured: boolean;
}

/**
 * Null if nothing is known against it. `execute` if no answer came: then nothing is known either.
 * @throws the signal's reason
 */
export async function findStartFault(question: StartQuestion, signal: AbortSignal): Promise<BackupError | null> {
  const { account, container, isConfigured, pgVersion } = question;
  if (isConfigured) return null;
  try {
    if (container === undefined) await requireProgram(question, signal);
    else await container.findPrograms(pgVersion, account, undefined, signal);
    return null;
  } catch (error) {
    signal.throwIfAborted();
    return toBackupError(error);
  }
}

/** @throws fileMissing (55), execute (102) */
async function requireProgram(
  { asAccount, facts: { debianCluster, startedWith }, pgVersion }: StartQuestion,
  signal: AbortSignal,
): Promise<void> {
  const program =
    debianCluster === null
      ? /^(\/\S+)/.exec(startedWith ?? "")?.[1]
      : `/usr/lib/postgresql/${debianCluster.major}/bin/postgres`;
  if (program === undefined) return;
  const hint = `Install PostgreSQL ${pgVersion}, set the commands that start it in the settings file ("postgres"), or choose a backup of another version with --set.`;
  if (!existsSync(program))
    throw fail("fileMissing", `'${program}', which starts the server here, does not exist`, { hint, path: program });
  const version = await versionOf(program, signal, asAccount);
  if (!isVersion(version, pgVersion))
    throw fail(
      "fileMissing",
      `'${program}', which starts the server here, is of '${version.trim()}', and the backup of PostgreSQL ${pgVersion}`,
      { hint },
    );
}
