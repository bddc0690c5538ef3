/**
 * `metrics`: where backups stand, as Prometheus reads it; to standard output, or with `--output-file` for the textfile collector. A repository
 * that cannot be read is a sample and not an error: exit 0 whatever the backups are.
 */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { fail, toBackupError } from "../base/errors";
import type { Config } from "../config/types";
import { BACKREST_VERSION } from "../format/info";
import { atomicWrite } from "../local/atomicWrite";
import { loadRuns } from "../local/runRecords";
import { hasStopFile } from "../local/stopFile";
import { DEFINITIONS } from "../metrics/definitions";
import { exporterSamples } from "../metrics/exporter";
import { hostSamples, repositorySamples, type RepoFacts, type RepoHostFacts } from "../metrics/samples";
import { renderMetrics } from "../metrics/text";
import { loadLocalDrills } from "../operations/drill/history";
import { findNewestWal } from "../operations/destinations";
import { collectInfo } from "../operations/info";
import { surveyWal } from "../operations/walSurvey";
import { waitingWal } from "../postgres/archiveStatus";
import { VERSION } from "../version";
import type { Command, CommandHost } from "./host";

/** WAL segment size when no cluster is there to ask. */
const WAL_SEGMENT_SIZE_BYTES = 16 * 1024 * 1024;
/** The collector runs as another account. */
const FILE_MODE = 0o644;

export const metricsCommand: Command = async (host) => {
  const { outputFile } = host.config.monitoring;
  const text = await metricsText(host);
  if (outputFile === undefined) host.print(text);
  else await writeTextfile(outputFile, text);
  return 0;
};

/** Everything that is served of one host, gathered now. */
export async function metricsText(host: CommandHost): Promise<string> {
  const { config, ctx } = host;
  const stanza = config.stanza ?? "";
  const [pg] = config.pgs;
  const nowS = Math.floor(ctx.clock.nowMs() / 1000);
  const walSegmentSizeBytes = await host
    .loadControl()
    .then((control) => control.walSegmentSizeBytes)
    .catch(() => WAL_SEGMENT_SIZE_BYTES);
  const locks = { backup: host.lockState("backup"), restore: host.lockState("restore") };
  const repos = host.repositories();
  const report = await collectInfo(repos, host.debt(), { stanza, set: undefined, type: undefined, locks }, ctx);
  const facts = await Promise.all(
    report.repos.map(async (row, index): Promise<RepoFacts & RepoHostFacts> => {
      const { debtCount, droppedCount, error, info, key } = row;
      const expected = config.settings.repos[key]?.expectFullWithinS;
      const known = { key, debtCount, droppedCount, fullExpectedS: typeof expected === "number" ? expected : null };
      const repo = repos[index];
      if (error !== null || repo === undefined) {
        ctx.log.warn(`repo${key} cannot be read: ${error?.message ?? "it is not configured"}`);
        return { ...known, backups: null, newestWal: null, survey: null };
      }
      const newestWal = await orNull(host, key, () => findNewestWal(repo));
      const survey = config.monitoring.walGaps ? await orNull(host, key, () => surveyWal(repo, info?.backups ?? [], walSegmentSizeBytes)) : null;
      return { ...known, backups: info?.backups ?? [], newestWal, survey };
    }),
  );
  return renderMetrics(DEFINITIONS, [
    ...exporterSamples({ report, backrestVersion: BACKREST_VERSION, nowS }),
    ...repositorySamples(stanza, facts, walSegmentSizeBytes),
    ...hostSamples(stanza, {
      repos: facts,
      waiting: pg === undefined ? null : await waitingWal(`${host.dataDirectory}/pg_wal`),
      locks,
      isStopped: hasStopFile(config.lockPath, stanza) || hasStopFile(config.lockPath, undefined),
      runs: await loadRuns(config.spoolPath, stanza),
      drills: await loadLocalDrills(config.spoolPath, stanza),
      configHash: hashOf(config),
      version: VERSION,
      nowS,
    }),
  ]);
}

/** What one repository cannot tell is missing, and told in the log. */
async function orNull<T>(host: CommandHost, repoKey: number, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    host.ctx.log.warn(`repo${repoKey}: WAL cannot be looked at: ${toBackupError(error).message}`);
    return null;
  }
}

/** Of what decides where backups go and how long they stay; secrets show as stars in JSON and count for nothing. */
function hashOf({ pgs, repos, settings }: Config): string {
  return createHash("sha256").update(JSON.stringify({ pgs, repos, settings })).digest("hex").slice(0, 16);
}

/**
 * In one step, as the collector may read at any moment; its name while it is written does not end in `.prom`.
 * @throws pathMissing (73) without the directory: one that is made here would be looked at by nobody
 */
async function writeTextfile(path: string, text: string): Promise<void> {
  const directory = dirname(path);
  if ((await stat(directory).catch(() => null)) === null) {
    throw fail("pathMissing", `unable to write '${path}': its directory is not there`, {
      path,
      hint: "node_exporter names it with --collector.textfile.directory; Debian's package has /var/lib/prometheus/node-exporter.",
    });
  }
  await atomicWrite(path, Buffer.from(text), { mode: FILE_MODE });
}
