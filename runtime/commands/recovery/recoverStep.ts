/**
 * `recover-step STEP`: steps of `recover` and `rollback` that run as PostgreSQL's account, because the server and
 * repositories may refuse root. `plan`, `readable` and `wait` print JSON; `finish-wal` prints nothing.
 */
import { fail } from "../../base/errors";
import { stat } from "../../local/nodeFiles";
import { bringHistories } from "../../operations/restore/bringWal";
import { guaranteeOf } from "../../operations/archiveGet/endOfRecovery";
import { leadsOn, writtenSegments } from "../../operations/recover/oldWal";
import type { LiveServer } from "../../operations/recover/recoverPlan";
import { findRecoverSource, type HostWal } from "../../operations/recover/recoverSource";
import {
  findLiveServer,
  finishWal,
  type Opened,
  type Readable,
  type TooLow,
  waitUntilOpen,
} from "../../operations/recover/steps";
import { perRepo } from "../../base/parallel";
import { loadArchiveInfo } from "../../repository/infoStore";
import { lsnOfSegment, nextSegment, parseLsn } from "../../format/wal/walSegment";
import { namesIfThere } from "../../local/systemError";
import { loadRecoveryLimits } from "../../postgres/controlFile";
import { slotArchivingOf } from "../../operations/slot/readyDirectory";
import type { ClusterAccess, Command, Invocation, RepositoryAccess } from "../../process/commandProcess";
import { ownHistory } from "../ownHistory";

export const recoverStepCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const [step] = config.params;
  switch (step) {
    case "plan":
      proc.print(`${JSON.stringify(await plan(proc))}\n`);
      return 0;
    case "server":
      proc.print(`${JSON.stringify(await findLiveServer(() => proc.session(), slotArchivingOf(config)))}\n`);
      return 0;
    case "finish-wal":
      await finishWal(await proc.session(), config.archive.timeoutMs, ctx, slotArchivingOf(config));
      return 0;
    case "readable":
      proc.print(`${JSON.stringify(await findReadable(proc))}\n`);
      return 0;
    case "histories":
      await histories(proc);
      return 0;
    case "wait":
      proc.print(`${JSON.stringify(await wait(proc))}\n`);
      return 0;
    default:
      throw fail("paramInvalid", `'${step ?? ""}' is not a step of a recovery`, {
        hint: "recover calls this command. Steps are plan, server, finish-wal, readable, histories and wait.",
      });
  }
};

async function wait(proc: Invocation & ClusterAccess): Promise<Opened | TooLow> {
  const { config, ctx, dataDirectory } = proc;
  const [, name] = config.params;
  const last = name === undefined ? null : { name, segmentSizeBytes: (await proc.loadControl()).walSegmentSizeBytes };
  return waitUntilOpen(
    { open: () => proc.newSession(), limits: () => loadRecoveryLimits(dataDirectory, ctx), last },
    ctx,
  );
}

async function findReadable(proc: Invocation & RepositoryAccess): Promise<Readable> {
  const results = await perRepo(proc.repositories(), loadArchiveInfo);
  const keysOf = (isReadable: boolean): number[] =>
    results.flatMap(({ ok, repoIndex }) => (ok === isReadable ? [repoIndex] : []));
  for (const result of results)
    if (!result.ok) proc.ctx.log.warn(`repo${result.repoIndex} cannot be read: ${result.error.message}`);
  return { readable: keysOf(true), unreadable: keysOf(false) };
}

/** For a server in a container, which cannot fetch them itself. */
async function histories(proc: Invocation & RepositoryAccess & ClusterAccess): Promise<void> {
  const { config, ctx, dataDirectory, walDirectory } = proc;
  const { pgVersion: version, systemId } = await proc.loadControl();
  const { gid, uid } = await stat(dataDirectory);
  const target = { walDirectory, owner: { gid, uid }, timeoutMs: config.archive.timeoutMs };
  await bringHistories(proc.repositories(), { version, systemId }, target, ctx);
}

function ownWalOf(proc: ClusterAccess, live: LiveServer | null): Pick<HostWal, "leadsOn" | "removable" | "segments"> {
  const loadControl = () => proc.loadControl().catch(() => null);
  return {
    // A server that follows a later timeline has WAL elsewhere.
    leadsOn: async (archived) => {
      const control = await loadControl();
      return control !== null && control.timeline <= archived.timeline
        ? leadsOn({ ...archived, directory: proc.walDirectory })
        : false;
    },
    segments: async () => {
      const control = await loadControl();
      return control === null ? [] : writtenSegments(proc.walDirectory, control.walSegmentSizeBytes);
    },
    removable: async (names, segmentSizeBytes) => {
      // A server that is down removes nothing.
      if (live?.lsn == null) return [];
      const end = parseLsn(live.lsn);
      const waiting = new Set(await namesIfThere(`${proc.walDirectory}/archive_status`));
      return names.filter(
        (name) =>
          !waiting.has(`${name}.ready`) && lsnOfSegment(nextSegment(name, segmentSizeBytes), segmentSizeBytes) <= end,
      );
    },
  };
}

async function plan(proc: Invocation & RepositoryAccess & ClusterAccess): Promise<object> {
  const { config, ctx } = proc;
  const recovery = { ...config.restore, restoreCommand: "", options: {} };
  const options = { set: config.set, recovery, server: await ownHistory(proc) };
  const repos = proc.repositories();
  const live = await findLiveServer(() => proc.session(), slotArchivingOf(config));
  const host = { ...guaranteeOf(repos, config), ...ownWalOf(proc, live) };
  return { source: await findRecoverSource(repos, options, host, ctx), live };
}
