/**
 * `cnpg-instance`: the sidecar of an instance. It archives, streams and serves WAL, takes backups, and gives the
 * exporter metrics of the repositories.
 */
import { access } from "../../local/nodeFiles";
import { GetService } from "../../archiver/getService";
import { removeLeftFiles } from "../../archiver/ownFile";
import { WalService } from "../../archiver/walService";
import { untilAborted, withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import type { Command, CommandProcess } from "../../process/commandProcess";
import type { Config } from "../../config/types";
import type { ServedViews } from "../../metrics/gather";
import { type BackupParts, backupService } from "./backupService";
import { parseObject } from "../kubernetes/clusterObject";
import { isCheckWanted, isHistory, requireOwnTimeline, Timelines } from "./emptyArchive";
import { type FirstBackupParts, FirstBackups } from "./firstBackup";
import { identityService } from "../grpc/identityService";
import type { WalArchiveRequest, WalRestoreRequest } from "../grpc/messages";
import { MetricSource } from "./metricSource";
import { fullBackupParts, reportFullBackups } from "./reportFull";
import { followsSource, openSource } from "./replicaSource";
import type { Sidecar } from "./currentSidecar";
import { runOwn, serveSidecar } from "./sidecar";
import { StanzaKeeper } from "./stanzaKeeper";
import { serveReport } from "./servedReport";
import { openStreaming } from "./streaming";
import { expireForever } from "./timedExpire";
import { TimedHeal } from "./timedHeal";
import { walService } from "./wal";

/** For work in the background, at the end. */
const LOOPS_MS = 5000;
/** A requested backup waits for one that runs in this pod. */
const SETTLED_LOOK_MS = 5000;

type Backups = ReturnType<typeof backupService>;

export const instanceCommand =
  (views: ServedViews): Command =>
  (proc) => {
    const backups = openBackupService(proc);
    return serveSidecar(proc, (current) => openInstance(current, backups, views));
  };

function openInstance(proc: CommandProcess, backups: Backups, views: ServedViews): Sidecar {
  const { config, ctx } = proc;
  const own = { ...ctx, signal: new AbortController().signal };
  const repos = proc.repositories();
  const timelines = new Timelines();
  const isStandby = standbyCheck(proc);
  /** True during any backup in this container, also one that was started by hand. */
  const isBusy = (): boolean => backups.isBusy() || proc.lockState("backup").held;
  const stanzas = new StanzaKeeper(proc, own);
  const stream = openStreaming(proc, stanzas, isStandby, own);
  const wal = new WalService(
    proc,
    own,
    (walName) => timelines.isAllowed(walName),
    (repoIndex, walName) => stream?.stored(repoIndex, walName),
  );
  const gets = openGetServices(proc, own);
  const walSegmentSizeBytes = async (): Promise<number> => (await proc.loadControl()).walSegmentSizeBytes;
  const run = runOwn(proc);
  const firstBackups = openFirstBackups(proc, run, { isBusy, isStandby, prepare: () => stanzas.prepare() });
  const healing = new TimedHeal({
    repos,
    mayHeal: async () => timelines.isAny() && !(await isStandby()),
    isBusy,
    heal: (copiesMax, signal) => wal.healWhole(copiesMax, signal),
    walSegmentSizeBytes,
  });
  const metrics = new MetricSource({
    repos,
    workers: () => wal.status(),
    gaps: () => healing.gaps(),
    streams: () => stream?.status() ?? [],
    synchronous: () => stream?.synchronousReport ?? null,
    dumpExpectedS: (repoIndex) => config.settings.repos[repoIndex]?.expectDumpWithinS ?? null,
    walSegmentSizeBytes,
    troubles: async (facts) => ((await isStandby()) ? null : views.loadTroubles(proc, facts)),
  });
  const expire = (signal: AbortSignal): Promise<number> => run(["expire"], signal, () => {});
  const report = fullBackupParts(proc, isStandby);
  const ending = new AbortController();
  const loops = [
    healing.runForever(own, ending.signal),
    metrics.refreshForever(own, ending.signal),
    ...(report === null ? [] : [reportFullBackups(report, own, ending.signal)]),
    serveReport(proc, () => views.report(proc), own, ending.signal),
  ];
  const taking = firstBackups.takeThem(own, ending.signal);
  const expiring = hasRetention(config) ? expireForever({ isStandby, isBusy, expire }, own, ending.signal) : null;
  for (const name of removeLeftFiles(wal.walDirectory))
    ctx.log.info(`removed ${name}, which a killed sidecar had left in pg_wal`);
  stream?.start();
  const push = { wal, prepare: archivePreparer(proc, wal.walDirectory, timelines, stanzas, own) };
  return {
    services: [
      identityService(["WAL_SERVICE", "BACKUP_SERVICE", "METRICS"]),
      walService({ dataDirectory: proc.dataDirectory, push, isJob: false, gets: gets.forRequest }, own),
      backups,
      metrics.service(),
    ],
    isFixed: false,
    close: async (signal) => {
      ending.abort(fail("term", "the sidecar is ending"));
      const closing = gets.all.map((each) => Promise.race([each.close(), untilAborted(signal)]));
      // A first backup outlives a changed configuration, and releases its leases when the pod ends.
      const ended = ctx.signal.aborted ? taking : null;
      await Promise.all([wal.close(signal), stream?.close(signal), ...closing, endOf(loops, own), expiring, ended]);
    },
  };
}

/** Requests to a repository that is down would delay the pod's end. */
function endOf(loops: readonly Promise<void>[], { clock }: Context): Promise<unknown> {
  return withTimeTo(LOOPS_MS, clock, (enough) => Promise.race([Promise.all(loops), untilAborted(enough)]));
}

interface GetServices {
  readonly all: readonly GetService[];
  readonly forRequest: (request: WalRestoreRequest) => GetService;
}

/** Requests go to this cluster's archive; those of a replica cluster's primary to its source's archive. */
function openGetServices(proc: CommandProcess, own: Context): GetServices {
  const gets = new GetService(proc, own);
  const { instance = "", sourceStanza } = proc.config.plugin;
  if (sourceStanza === undefined) return { all: [gets], forRequest: () => gets };
  const sourceGets = new GetService(openSource(proc, sourceStanza), own);
  return {
    all: [gets, sourceGets],
    forRequest: ({ cluster_definition }) =>
      followsSource(parseObject(cluster_definition, "cluster"), instance) ? sourceGets : gets,
  };
}

function standbyCheck({ dataDirectory }: CommandProcess): () => Promise<boolean> {
  return async () =>
    access(`${dataDirectory}/standby.signal`).then(
      () => true,
      () => false,
    );
}

/** Outlives every configuration: `proc` is the first one's process. */
function openBackupService(proc: CommandProcess): Backups {
  const { config, ctx } = proc;
  const parts: BackupParts = {
    instanceId: config.plugin.instance ?? "",
    present: async (work) => {
      const present = proc.reloaded();
      try {
        return await work({ repos: present.repositories(), archiveTimeoutMs: present.config.archive.timeoutMs });
      } finally {
        await present.close();
      }
    },
    run: runOwn(proc),
    isStandby: standbyCheck(proc),
    settled: async (signal) => {
      while (proc.lockState("backup").held) await ctx.clock.sleep(SETTLED_LOOK_MS, signal);
    },
  };
  return backupService(parts, ctx);
}

function openFirstBackups(
  proc: CommandProcess,
  run: ReturnType<typeof runOwn>,
  parts: Pick<FirstBackupParts, "isBusy" | "isStandby" | "prepare">,
): FirstBackups {
  const { config, ctx } = proc;
  return new FirstBackups({
    ...parts,
    repos: config.settings.firstBackup === true ? proc.repositories() : [],
    cluster: async () => {
      const { pgVersion: version, systemId } = await proc.loadControl();
      return { version, systemId };
    },
    backup: (repoIndex) =>
      run(["backup", "--type=incr", ...(repoIndex === null ? [] : [`--repo=${repoIndex}`])], ctx.signal, () => {}),
  });
}

function hasRetention({ repos }: Config): boolean {
  return repos.some(
    ({ retentionFull, retentionArchive }) => retentionFull !== undefined || retentionArchive !== undefined,
  );
}

/** What precedes each push: the stanza exists, and the timeline is this cluster's own. */
function archivePreparer(
  proc: CommandProcess,
  walDirectory: string,
  timelines: Timelines,
  stanzas: StanzaKeeper,
  own: Context,
): (request: WalArchiveRequest, walName: string) => Promise<void> {
  return async ({ cluster_definition, check_empty_wal_archive }, walName) => {
    await stanzas.prepare();
    // Checks each promotion: a second cluster in this archive shows when both take one timeline.
    if (
      isHistory(walName) ||
      (await isCheckWanted(check_empty_wal_archive, parseObject(cluster_definition, "cluster"), proc.dataDirectory))
    ) {
      const { pgVersion: version, systemId } = await proc.loadControl();
      await requireOwnTimeline(proc.repositories(), { cluster: { version, systemId }, walDirectory, walName }, own);
    }
    timelines.allow(walName);
  };
}
