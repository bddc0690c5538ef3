/**
 * `cnpg-instance`: the sidecar of an instance. It archives and serves WAL, takes backups, and gives the exporter
 * metrics of the repositories.
 */
import { access } from "node:fs/promises";
import { GetService } from "../../archiver/getService";
import { removeLeftFiles } from "../../archiver/ownFile";
import { WalService } from "../../archiver/walService";
import { untilAborted } from "../../base/clock";
import { fail } from "../../base/errors";
import type { Command } from "../../commands/host";
import { backupService } from "./backupService";
import { parseObject } from "../kubernetes/clusterObject";
import { isCheckWanted, isHistory, requireOwnTimeline, Timelines } from "./emptyArchive";
import { FirstBackups } from "./firstBackup";
import { identityService } from "../grpc/identityService";
import type { WalArchiveRequest, WalRestoreRequest } from "../grpc/messages";
import { MetricSource } from "./metricSource";
import { followsSource, openSource } from "./replicaSource";
import { runOwn, serveSidecar } from "./sidecar";
import { StanzaKeeper } from "./stanzaKeeper";
import { expireForever } from "./timedExpire";
import { TimedHeal } from "./timedHeal";
import { walService } from "./wal";

export const instanceCommand: Command = async (host) => {
  const { config, ctx } = host;
  const own = { ...ctx, signal: new AbortController().signal };
  const repos = host.repositories();
  const timelines = new Timelines();
  const wal = new WalService(host, own, (walName) => timelines.isAllowed(walName));
  const gets = new GetService(host, own);
  const { instance: instanceId = "", sourceStanza } = config.plugin;
  const sourceGets = sourceStanza === undefined ? null : new GetService(openSource(host, sourceStanza), own);
  const getsOf = ({ cluster_definition }: WalRestoreRequest): GetService =>
    sourceGets !== null && followsSource(parseObject(cluster_definition, "cluster"), instanceId) ? sourceGets : gets;
  const stanzas = new StanzaKeeper(host, own);
  const isStandby = async (): Promise<boolean> =>
    access(`${host.dataDirectory}/standby.signal`).then(
      () => true,
      () => false,
    );
  const walSegmentSizeBytes = async (): Promise<number> => (await host.loadControl()).walSegmentSizeBytes;
  /**
   * By a backup that was asked for, by the sidecar's own first one, or by one by hand in this container: all of them
   * end with it.
   */
  const isBusy = (): boolean => backups.isBusy() || host.lockState("backup").held;
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
    walSegmentSizeBytes,
  });
  const ending = new AbortController();
  const healed = healing.runForever(own, ending.signal);
  const refreshing = metrics.refreshForever(own, ending.signal);
  const prepare = async (
    { cluster_definition, check_empty_wal_archive }: WalArchiveRequest,
    walName: string,
  ): Promise<void> => {
    await stanzas.prepare();
    // Checks each promotion: a second cluster in this archive shows when both take one timeline.
    if (
      isHistory(walName) ||
      (await isCheckWanted(check_empty_wal_archive, parseObject(cluster_definition, "cluster"), host.dataDirectory))
    ) {
      const { pgVersion: version, systemId } = await host.loadControl();
      await requireOwnTimeline(repos, { cluster: { version, systemId }, walDirectory: wal.walDirectory, walName }, own);
    }
    timelines.allow(walName);
  };
  const push = { wal, prepare };
  const run = runOwn(host);
  const first = new FirstBackups({
    repos: config.settings.firstBackup === true ? repos : [],
    isStandby,
    isBusy,
    backup: (repoIndex, signal) =>
      run(["backup", "--type=incr", ...(repoIndex === null ? [] : [`--repo=${repoIndex}`])], signal, () => {}),
  });
  const settled = (): Promise<void> => first.settled();
  const backups = backupService(
    { repos, instanceId, archiveTimeoutMs: config.archive.timeoutMs, run, isStandby, settled },
    ctx,
  );
  const beginning = first.takeThem(own, ending.signal);
  const expire = (signal: AbortSignal): Promise<number> => run(["expire"], signal, () => {});
  const isKept = config.repos.some(
    ({ retentionFull, retentionArchive }) => retentionFull !== undefined || retentionArchive !== undefined,
  );
  const expiring = isKept ? expireForever({ isStandby, isBusy, expire }, own, ending.signal) : null;
  for (const name of removeLeftFiles(wal.walDirectory))
    ctx.log.info(`removed ${name}, which a killed sidecar had left in pg_wal`);
  return serveSidecar(host, {
    services: [
      identityService(["WAL_SERVICE", "BACKUP_SERVICE", "METRICS"]),
      walService({ dataDirectory: host.dataDirectory, push, isJob: false, gets: getsOf }, own),
      backups,
      metrics.service(),
    ],
    isBusy,
    close: async (signal) => {
      ending.abort(fail("term", "the sidecar is ending"));
      const closing = [gets.close(), sourceGets?.close()].map((each) => Promise.race([each, untilAborted(signal)]));
      await Promise.all([wal.close(signal), ...closing, refreshing, beginning, expiring, healed]);
    },
  });
};
