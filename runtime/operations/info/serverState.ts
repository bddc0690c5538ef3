/** The server of this host for `status`: whether it runs and archives, and an unfinished recovery of its data. */
import { orAborted, withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import { type BackupError, isError, toBackupError } from "../../base/errors";
import { realpath } from "../../local/nodeFiles";
import { isSameDirectory } from "../../local/sameDirectory";
import { textIfThere } from "../../local/systemError";
import type { ContainerServer } from "../../postgres/container/serverContainer";
import type { ServerFacts, Session } from "../../postgres/session";
import { requireArchiving } from "../check/archiving";
import { findInContainer, findServer, loadHostFacts } from "../recover/hostFacts";
import { readJournal, recoverJournal } from "../recover/recoveryJournal";

const ANSWER_MS = 5000;

export interface ServerState {
  readonly dataDirectory: string;
  readonly hasCluster: boolean;
  readonly isUp: boolean;
  /** Why it archives nothing; null if it does, or a slot does, or nobody knows. */
  readonly archiving: BackupError | null;
  /** Why a running server did not answer; null if it did. */
  readonly silence: string | null;
  /** When its newest WAL was written; null if unknown. */
  readonly seenAtS: number | null;
  /** `postgresql@17-main.service`; null if systemd has no usual unit for it. */
  readonly unit: string | null;
  /** `foreign` if another account has begun one, which this account cannot read. */
  readonly recovery: "unfinished" | "foreign" | null;
}

export interface ServerTools {
  readonly ctx: Context;
  readonly container: ContainerServer | undefined;
  newSession(): Promise<Pick<Session, "facts" | "close">>;
  /** Must be in `archive_command`; null if a slot archives. */
  readonly archiveCommandContains: string | null;
}

const UP = {
  hasCluster: true,
  isUp: true,
  archiving: null,
  silence: null,
  seenAtS: null,
  unit: null,
  recovery: null,
} as const;

/** @throws what keeps it from looking */
export async function loadServerState(
  directory: string,
  tools: ServerTools,
  journalOf = recoverJournal,
): Promise<ServerState> {
  const dataDirectory = await realpath(directory).catch(() => directory);
  const recovery = recoveryOf(journalOf(dataDirectory));
  const hasCluster = (await textIfThere(`${dataDirectory}/PG_VERSION`)) !== null;
  const down = { ...UP, dataDirectory, hasCluster, isUp: false, recovery };
  if (!hasCluster && recovery === null) return down;
  const { container, ctx } = tools;
  const facts = await loadFacts(tools);
  if (!isError(facts) && isSameDirectory(facts.dataDirectory, dataDirectory))
    return { ...UP, dataDirectory, archiving: archivingError(facts, tools.archiveCommandContains) };
  const silence = isError(facts) ? facts.message : `'${facts.dataDirectory}' answers at its address`;
  const server = container === undefined ? await findServer(dataDirectory) : await findInContainer(container);
  // A server of another process namespace has a number in its file that means nothing here.
  const isUnsure =
    container === undefined &&
    (await textIfThere(`${dataDirectory}/postmaster.pid`)) !== null &&
    !/\b(ECONNREFUSED|ENOENT)\b/.test(silence);
  if (server !== null || isUnsure) return { ...UP, dataDirectory, silence };
  const { debianCluster, units, walWrittenAtS } = await loadHostFacts(directory, ctx, container);
  const unit = debianCluster === null ? units[0] : `postgresql@${debianCluster.major}-${debianCluster.name}.service`;
  return { ...down, seenAtS: walWrittenAtS, unit: unit ?? null };
}

async function loadFacts({ ctx, newSession }: ServerTools): Promise<ServerFacts | BackupError> {
  const ask = async (): Promise<ServerFacts> => {
    const session = await newSession();
    try {
      return await session.facts();
    } finally {
      await session.close();
    }
  };
  return withTimeTo(ANSWER_MS, ctx.clock, (enough) => orAborted(ask(), enough)).catch(toBackupError);
}

/** The primary of a standby archives. */
function archivingError(facts: ServerFacts, requiredText: string | null): BackupError | null {
  if (requiredText === null || facts.inRecovery) return null;
  try {
    requireArchiving(facts, false, requiredText);
    return null;
  } catch (error) {
    return toBackupError(error);
  }
}

/** A journal of another account can be seen, not read. */
function recoveryOf(file: ReturnType<typeof recoverJournal>): ServerState["recovery"] {
  try {
    const journal = readJournal(file, false);
    return journal === null || journal.phase === "done" ? null : "unfinished";
  } catch (error) {
    return isError(error) && error.path?.endsWith(".json") === true ? "foreign" : null;
  }
}
