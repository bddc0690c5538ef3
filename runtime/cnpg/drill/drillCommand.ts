/**
 * `cnpg-drill`: a fire drill of a CloudNativePG cluster. The operator and the plugin restore one repository and one
 * backup into a throw-away Cluster alongside production, as in a real restore.
 */
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import type { Command, CommandProcess, Invocation, MachineAccess } from "../../process/commandProcess";
import {
  checkAssertion,
  checkCollations,
  checkProduction,
  type CheckResult,
  judgeRecoveryEnd,
  type Outcome,
  timedCheck,
} from "../../operations/drill/checks";
import type { Chosen } from "../../operations/drill/chooseBackup";
import { askedDrill, type AskedDrill, drillOptions } from "../../operations/drill/askedDrill";
import { attackDrill } from "../../operations/drill/attackDrill";
import { drill, type DrillRun, type DrillVenue, expectedOf, recordRpo } from "../../operations/drill/drill";
import { saveDrill } from "../../operations/drill/history";
import type { ProductionFacts } from "../../operations/drill/production";
import { ATTACK, type DrillPick, type DrillRecord, renderDrill } from "../../operations/drill/record";
import { prepareRoot } from "../../operations/drill/scratch";
import { drillText } from "../../operations/drill/drillReport";
import { timelineOf } from "../../format/wal/walSegment";
import type { ServerHistory } from "../../recoverability/followedTimeline";
import { surveyStream } from "../../operations/stream/survey";
import { openThroughService } from "../../postgres/clusterService";
import type { Session } from "../../postgres/session";
import { throwAwayCluster } from "./drillCluster";
import {
  awaitConnection,
  awaitReady,
  clearName,
  makeCluster,
  removeCluster,
  stateOf,
  type ThrowAway,
} from "./drillRun";
import { checkRelations, checkSums, dumpAll, findReplayed, type RecoveryEnd } from "./drillSql";
import { CLUSTERS, type KubernetesApi, type ObjectRef, openKubernetes } from "../kubernetes/kubernetesApi";
import { notifyOfJob } from "../kubernetes/jobNotice";

const MINUTE_MS = 60_000;
/** Time to remove the Cluster, after the drill's own limit. */
const END_MS = 15 * MINUTE_MS;
const REMOVE_MS = 10 * MINUTE_MS;
/** After the signal to end the process is killed soon. */
const REMOVE_HURRIED_MS = 5000;
const EXIT_CODE_MAX = 125;

export const clusterDrillCommand: Command = async (proc) => {
  const { ctx } = proc;
  const { clusterDrill, output } = proc.config;
  const { cluster = "", name = "" } = clusterDrill;
  for (const [option, value] of Object.entries({ "drill-cluster": cluster, "throw-away": name }))
    if (value === "") throw fail("optionRequired", `cnpg-drill command requires option: ${option}`);
  return notifyOfJob(proc, cluster, ctx, async () => {
    const { pick, ...others } = askedDrill(proc.config);
    const record =
      pick === ATTACK ? await makeAttack(proc, others, ctx) : await makeDrill(proc, { ...others, pick }, ctx);
    await saveDrill(proc.repositories(), proc.config.spoolPath, record, ctx);
    proc.print(output === "json" ? renderDrill(record) : drillText(record));
    return { code: Math.min(record.failures[0]?.code ?? 0, EXIT_CODE_MAX), record };
  });
};

async function makeDrill(proc: CommandProcess, asked: AskedRestore, ctx: Context): Promise<DrillRecord> {
  const { clusterDrill, kubernetes } = proc.config;
  const { cluster = "", jobUid, name = "" } = clusterDrill;
  // Its own signal: the Cluster is removed even after the signal to end.
  const api = await openKubernetes(kubernetes, new AbortController().signal);
  await clearName(api, name, cluster, jobUid, ctx);
  const venue = new ClusterVenue(api, proc, ctx);
  return drill(venue, proc.repositories(), drillOptions(proc.config, asked, { beganMs: proc.process.beganMs }), ctx);
}

/** Needs neither Kubernetes nor a Cluster. */
async function makeAttack(proc: CommandProcess, asked: Omit<AskedDrill, "pick">, ctx: Context): Promise<DrillRecord> {
  const { repoIndex, spoolPath, stanza = "" } = proc.config;
  // A directory of this pod.
  const path = `${spoolPath}/drill`;
  await prepareRoot(path);
  const { beganMs } = proc.process;
  return attackDrill(proc.repositories(), proc, { ...asked, stanza, repoIndex, path, beganMs }, ctx);
}

/**
 * Uses an application's Secret: counting rows in production needs no more rights.
 * @throws dbConnect without a Secret
 */
function openProduction(
  { config, readFile }: Invocation & MachineAccess,
  api: KubernetesApi,
  database: string | undefined,
): Promise<Session> {
  const { cluster = "", secretPath } = config.clusterDrill;
  const host = `${cluster}-rw.${api.namespace}.svc`;
  return openThroughService({ host, secretPath, applicationName: "pgbackstop drill", readFile }, database);
}

type AskedRestore = AskedDrill & { readonly pick: DrillPick | undefined };

class ClusterVenue implements DrillVenue {
  readonly #api: KubernetesApi;
  readonly #proc: Invocation & MachineAccess;
  /** Without the signal to end. */
  readonly #ctx: Context;
  #made: ObjectRef | null = null;
  #server: ThrowAway | null = null;

  constructor(api: KubernetesApi, proc: Invocation & MachineAccess, ctx: Context) {
    this.#api = api;
    this.#proc = proc;
    this.#ctx = ctx;
  }

  /** A service leads to the primary, or to nothing. */
  async history(): Promise<ServerHistory | null> {
    try {
      const session = await this.openProduction();
      try {
        const [systemId, wal] = [BigInt(await session.systemId()), await session.currentWalName()];
        return { systemId, timeline: timelineOf(wal), lsn: 0n, isRunning: true, ancestors: null };
      } finally {
        await session.close();
      }
    } catch (error) {
      this.#ctx.log.info(`production cannot say which timeline is its own: ${toBackupError(error).message}`);
      return null;
    }
  }

  openProduction(database?: string): Promise<Session> {
    return openProduction(this.#proc, this.#api, database);
  }

  async restore(run: DrillRun): Promise<void> {
    const { chosen, ctx, journal } = run;
    journal.next("create");
    this.#made = await this.#create(run, await lastWal(chosen, ctx));
    this.#server = await awaitConnection(this.#api, this.#made, journal, ctx);
    journal.restoredBytes = chosen.picked.backup.sizeBytes;
  }

  /** Derived from production's current Cluster. */
  async #create({ chosen, journal, options }: DrillRun, newestWal: string | null): Promise<ObjectRef> {
    const { info, picked, repo, targetTimeline } = chosen;
    const api = this.#api;
    const { cluster = "", job, jobUid, name = "", resources } = this.#proc.config.clusterDrill;
    const production = await api.find(CLUSTERS, cluster);
    if (production === null)
      throw fail("optionInvalidValue", `there is no Cluster '${cluster}' in namespace '${api.namespace}'`);
    const version = info.history.find(({ id }) => id === picked.backup.dbId)?.pgVersion ?? "";
    const request = {
      name,
      resources,
      drillId: journal.id,
      job: job === undefined || jobUid === undefined ? null : { name: job, uid: jobUid },
      untilMs: journal.beganAtMs + options.maxMinutes * MINUTE_MS + END_MS,
      repoIndex: repo.key,
      picked,
      targetTimeline,
      newestWal,
      major: Math.floor(Number(version)),
    };
    return makeCluster(api, throwAwayCluster(production, request));
  }

  async check(run: DrillRun, production: ProductionFacts | null): Promise<void> {
    const [made, server] = [this.#made, this.#server];
    if (made === null || server === null) return;
    const { ctx, journal } = run;
    await awaitReady(this.#api, made, ctx);
    const session = await server.connect();
    try {
      const major = Math.floor(Number((await session.facts()).version));
      const replayed = await findReplayed(session, major, ctx);
      await recordRpo(
        run,
        production,
        async () => replayed,
        (database) => server.connect(database),
      );
      journal.keep(await this.#checksOf(run, server, session, production, replayed));
    } finally {
      await server.close();
    }
  }

  async #checksOf(
    run: DrillRun,
    server: ThrowAway,
    session: Session,
    production: ProductionFacts | null,
    { followed, lsn }: RecoveryEnd,
  ): Promise<CheckResult[]> {
    const { chosen, ctx } = run;
    const { assertions, level, lostWalBytes, newestWal, picked, production: counts } = expectedOf(run, production);
    const { walSegmentSizeBytes } = chosen;
    const { version } = await session.facts();
    const ofRecovery = (): Outcome =>
      judgeRecoveryEnd({ reached: lsn, followed }, picked, newestWal, walSegmentSizeBytes);
    const looks: [string, () => Promise<Outcome>][] = [
      ["recovery", async () => ofRecovery()],
      ["collations", () => checkCollations({ control: { pgVersion: version }, session })],
      ["production", () => checkProduction({ lostWalBytes, production: counts, server, session })],
      ...assertions.map((assertion): [string, () => Promise<Outcome>] => [
        `assertion:${assertion.name}`,
        () => checkAssertion(assertion, { server }),
      ]),
      ...(level === "quick"
        ? []
        : ([["amcheck", () => checkRelations(server, ctx)]] as [string, () => Promise<Outcome>][])),
      ...(level === "thorough" ? ([["dump", () => dumpAll(server, ctx)]] as [string, () => Promise<Outcome>][]) : []),
      ...(level === "quick" ? [] : ([["checksums", () => checkSums(server)]] as [string, () => Promise<Outcome>][])),
    ];
    const results: CheckResult[] = [];
    for (const [name, look] of looks) results.push(await timedCheck(name, look, ctx));
    return results;
  }

  async remove(): Promise<void> {
    if (this.#made === null) return;
    const waitMs = this.#ctx.signal.aborted ? REMOVE_HURRIED_MS : REMOVE_MS;
    await removeCluster(this.#api, this.#made, waitMs, { ...this.#ctx, signal: new AbortController().signal });
  }

  async state(): Promise<string> {
    const state = this.#made === null ? "" : await stateOf(this.#api, this.#made);
    return state === "" ? "" : `the throw-away Cluster: ${state}`;
  }
}

/**
 * The end of the recovery, as the parameter `newestWal` has it: streamed WAL continues the archive, up to where it was
 * when the drill began.
 */
async function lastWal({ info, newestWal, picked, repo }: Chosen, ctx: Context): Promise<string | null> {
  // The archive of a cluster before an upgrade gets no more WAL.
  if (picked.type !== "default" || newestWal === null || picked.backup.dbId !== info.currentId) return newestWal;
  const stream = await surveyStream(repo).catch((error: unknown) => {
    ctx.log.warn(`the drill omits streamed WAL: ${toBackupError(error).message}`);
    return null;
  });
  return stream === null || stream.segment <= newestWal ? newestWal : `${stream.segment}@${stream.lsn}`;
}
