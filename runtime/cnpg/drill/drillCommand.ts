/**
 * `cnpg-drill`: a fire drill of a CloudNativePG cluster. The operator and the plugin restore one repository and one
 * backup into a throw-away Cluster beside production, as in a real restore. The drill checks and times the result, then
 * removes all of it. It only queries production and never changes it.
 *
 * Only the drilled repository supplies files and WAL. The drill's own errors end in its record. It throws only errors
 * that keep a drill from starting (another one runs, missing rights).
 */
import { withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import { Secret } from "../../base/secret";
import { silentLog } from "../../base/log";
import type { Command, CommandHost, Invocation, MachineAccess, ProgramAccess } from "../../commands/host";
import type { Config } from "../../config/types";
import {
  checkAssertion,
  checkCollations,
  checkProduction,
  type CheckResult,
  judgeRecoveryEnd,
  type Outcome,
  timedCheck,
} from "../../operations/drill/checks";
import { choose, type Chosen } from "../../operations/drill/chooseBackup";
import { askedDrill, type AskedDrill, objectivesOf } from "../../operations/drill/askedDrill";
import { attackDrill } from "../../operations/drill/attackDrill";
import { saveDrill } from "../../operations/drill/history";
import { DrillJournal } from "../../operations/drill/drillJournal";
import { measureRpo, type Replayed } from "../../operations/drill/measure";
import { askProduction, type ProductionFacts } from "../../operations/drill/production";
import { ATTACK, type DrillPick, type DrillRecord, renderDrill } from "../../operations/drill/record";
import { prepareRoot } from "../../operations/drill/scratch";
import { drillText } from "../../operations/drill/drillReport";
import { surveyStream } from "../../operations/stream/survey";
import { Session } from "../../postgres/session";
import type { Repository } from "../../repository/repository";
import { throwAwayCluster } from "./drillCluster";
import {
  awaitConnection,
  awaitReady,
  clearName,
  type MadeCluster,
  makeCluster,
  removeCluster,
  stateOf,
  type ThrowAway,
} from "./drillRun";
import { checkRelations, checkSums, dumpAll, findReplayed } from "./drillSql";
import { CLUSTERS, type KubernetesApi, openKubernetes } from "../kubernetes/kubernetesApi";
import { notifyOfJob } from "../kubernetes/jobNotice";

const MINUTE_MS = 60_000;
/** Time to remove the Cluster, after the drill's own limit. */
const END_MS = 15 * MINUTE_MS;
const REMOVE_MS = 10 * MINUTE_MS;
/** After the signal to end the process is killed soon. */
const REMOVE_HURRIED_MS = 5000;
const EXIT_CODE_MAX = 125;

export const clusterDrillCommand: Command = async (host) => {
  const { clusterDrill, output } = host.config;
  const { cluster = "", name = "" } = clusterDrill;
  const ctx = output === "json" ? { ...host.ctx, log: silentLog } : host.ctx;
  for (const [option, value] of Object.entries({ "drill-cluster": cluster, "throw-away": name }))
    if (value === "") throw fail("optionRequired", `cnpg-drill command requires option: ${option}`);
  return notifyOfJob(host, cluster, ctx, async () => {
    const { pick, ...others } = askedDrill(host.config.settings, host.config.drill);
    const record =
      pick === ATTACK ? await makeAttack(host, others, ctx) : await makeDrill(host, { ...others, pick }, ctx);
    await saveDrill(host.repositories(), host.config.spoolPath, record, ctx);
    host.print(output === "json" ? renderDrill(record) : drillText(record));
    return { code: Math.min(record.failures[0]?.code ?? 0, EXIT_CODE_MAX), record };
  });
};

async function makeDrill(host: CommandHost, asked: AskedRestore, ctx: Context): Promise<DrillRecord> {
  const { clusterDrill, kubernetes } = host.config;
  const { cluster = "", jobUid, name = "" } = clusterDrill;
  // Its own signal: the Cluster is removed even after the signal to end.
  const api = await openKubernetes(kubernetes, new AbortController().signal);
  await clearName(api, name, cluster, jobUid, ctx);
  const drill = new ClusterDrill(
    { api, repos: host.repositories(), openProduction: (database) => openProduction(host, api, database) },
    asked,
    host,
    ctx,
  );
  await withTimeTo(asked.maxMinutes * MINUTE_MS, ctx.clock, (enough) => drill.make(enough));
  return drill.record();
}

/** Needs neither Kubernetes nor a Cluster. */
async function makeAttack(host: CommandHost, asked: Omit<AskedDrill, "pick">, ctx: Context): Promise<DrillRecord> {
  const { repoIndex, spoolPath, stanza = "" } = host.config;
  // A directory of this pod.
  const path = `${spoolPath}/drill`;
  await prepareRoot(path);
  const { beganMs } = host.process;
  return attackDrill(host.repositories(), host, { ...asked, stanza, repoIndex, path, beganMs }, ctx);
}

/**
 * Uses an application's Secret: counting rows in production needs no more rights.
 * @throws dbConnect without a Secret
 */
async function openProduction(
  { config, readFile }: Invocation & MachineAccess,
  api: KubernetesApi,
  database: string | undefined,
): Promise<Session> {
  const { cluster = "", secretPath } = config.clusterDrill;
  const text = async (name: string): Promise<string> => {
    const bytes = secretPath === undefined ? null : await readFile(`${secretPath}/${name}`);
    if (bytes === null) throw fail("dbConnect", "there is no Secret with credentials");
    return Buffer.from(bytes).toString("utf8").trim();
  };
  return Session.open({
    host: `${cluster}-rw.${api.namespace}.svc`,
    port: 5432,
    user: await text("username"),
    database: database ?? (await text("dbname")),
    queryTimeoutMs: MINUTE_MS,
    connectTimeoutMs: 10_000,
    applicationName: "pgbackstop drill",
    password: new Secret(await text("password")),
    tls: { mode: "verify-full", ca: await text("ca.crt") },
  });
}

type AskedRestore = AskedDrill & { readonly pick: DrillPick | undefined };

interface ClusterDrillDeps {
  readonly api: KubernetesApi;
  readonly repos: readonly Repository[];
  /** A session with production that the caller closes. */
  openProduction(database?: string): Promise<Session>;
}

class ClusterDrill {
  readonly #deps: ClusterDrillDeps;
  readonly #asked: AskedRestore;
  readonly #config: Config;
  readonly #ctx: Context;
  readonly #journal: DrillJournal;

  constructor(
    deps: ClusterDrillDeps,
    asked: AskedRestore,
    { config, process }: Invocation & ProgramAccess,
    ctx: Context,
  ) {
    this.#deps = deps;
    this.#asked = asked;
    this.#config = config;
    this.#ctx = ctx;
    const { settings, stanza = "" } = config;
    const { beganMs } = process;
    this.#journal = new DrillJournal(
      { stanza, level: asked.level, objectivesOf: (turn) => objectivesOf(settings, turn), beganMs },
      ctx,
    );
  }

  record(): DrillRecord {
    return this.#journal.record();
  }

  /** Never throws: failures are in the record. */
  async make(enough: AbortSignal): Promise<void> {
    const ctx = { ...this.#ctx, signal: AbortSignal.any([this.#ctx.signal, enough]) };
    const journal = this.#journal;
    let made: MadeCluster | null = null;
    try {
      const { repoIndex, set } = this.#config;
      const { maxBytes, pick, repoIndexes } = this.#asked;
      const chosen = await choose(this.#deps.repos, { repoIndex, repoIndexes, set, pick, maxBytes }, journal, ctx);
      const asked = this.#askProduction(chosen, ctx).catch(() => null);
      journal.next("create");
      made = await this.#create(chosen, await lastWal(chosen, ctx));
      const server = await awaitConnection(this.#deps.api, made, journal, ctx);
      journal.connected();
      journal.restoredBytes = chosen.picked.backup.sizeBytes;
      journal.next("checks");
      await awaitReady(this.#deps.api, made, ctx);
      await this.#check(chosen, server, await asked, ctx);
    } catch (error) {
      const state = made === null || !enough.aborted ? "" : await stateOf(this.#deps.api, made);
      journal.fail(
        journal.phase,
        enough.aborted && !this.#ctx.signal.aborted ? this.#tooLong(state) : toBackupError(error),
      );
    }
    journal.next("delete");
    await this.#remove(made);
    journal.next("end");
    journal.judge();
  }

  /** Derived from production's current Cluster. */
  async #create({ info, picked, repo }: Chosen, newestWal: string | null): Promise<MadeCluster> {
    const { api } = this.#deps;
    const { cluster = "", job, jobUid, name = "", resources } = this.#config.clusterDrill;
    const production = await api.find(CLUSTERS, cluster);
    if (production === null)
      throw fail("optionInvalidValue", `there is no Cluster '${cluster}' in namespace '${api.namespace}'`);
    const version = info.history.find(({ id }) => id === picked.backup.dbId)?.pgVersion ?? "";
    const request = {
      name,
      resources,
      drillId: this.#journal.id,
      job: job === undefined || jobUid === undefined ? null : { name: job, uid: jobUid },
      untilMs: this.#journal.beganAtMs + this.#asked.maxMinutes * MINUTE_MS + END_MS,
      repoIndex: repo.key,
      picked,
      newestWal,
      major: Math.floor(Number(version)),
    };
    return makeCluster(api, throwAwayCluster(production, request));
  }

  /** Only a cluster with the same identity is the source of the backup. */
  async #askProduction({ info, picked }: Chosen, ctx: Context): Promise<ProductionFacts | null> {
    const facts = await askProduction((database) => this.#deps.openProduction(database), ctx);
    const own = info.history.find(({ id }) => id === picked.backup.dbId);
    return facts !== null && facts.systemId === own?.systemId ? facts : null;
  }

  async #check(chosen: Chosen, server: ThrowAway, production: ProductionFacts | null, ctx: Context): Promise<void> {
    // A running query fails at once when the time is over.
    const stop = (): void => void server.close();
    ctx.signal.addEventListener("abort", stop, { once: true });
    const session = await server.connect();
    try {
      const major = Math.floor(Number((await session.facts()).version));
      const replayed = await findReplayed(session, major, ctx);
      await this.#measureRpo(chosen, server, production, replayed, ctx);
      this.#journal.keep(await this.#checksOf(chosen, server, session, production, replayed, ctx));
    } finally {
      ctx.signal.removeEventListener("abort", stop);
      await server.close();
    }
  }

  async #measureRpo(
    { picked }: Chosen,
    server: ThrowAway,
    production: ProductionFacts | null,
    replayed: Replayed,
    ctx: Context,
  ): Promise<void> {
    if (picked.type !== "default") return;
    const heartbeat = this.#config.settings.drill?.heartbeat;
    const faultAtS = this.#journal.beganAtMs / 1000;
    const connect = (database?: string): Promise<Session> => server.connect(database);
    try {
      this.#journal.rpo = await measureRpo({
        faultAtS,
        backupStoppedAtS: picked.backup.stoppedAtS,
        production,
        heartbeat,
        replayed,
        connect,
      });
    } catch (error) {
      // The heartbeat's statement: the other checks are still worth making.
      ctx.signal.throwIfAborted();
      this.#journal.fail("rpo", toBackupError(error));
    }
  }

  async #checksOf(
    { newestWal, picked, walSegmentSizeBytes }: Chosen,
    server: ThrowAway,
    session: Session,
    production: ProductionFacts | null,
    { lsn }: Replayed,
    ctx: Context,
  ): Promise<CheckResult[]> {
    const { settings } = this.#config;
    const { level } = this.#asked;
    const { version } = await session.facts();
    const isWhole = picked.type === "default";
    const lostWalBytes = this.#journal.rpo?.lostWalBytes ?? null;
    const ofRecovery = (): Outcome => {
      if (lsn === null) return { verdict: "ok", text: "nothing to recover: the server was stopped during the backup" };
      return judgeRecoveryEnd(lsn, picked, newestWal, walSegmentSizeBytes);
    };
    const looks: [string, () => Promise<Outcome>][] = [
      ["recovery", async () => ofRecovery()],
      ["collations", () => checkCollations({ control: { pgVersion: version }, session })],
      [
        "production",
        () =>
          checkProduction({ lostWalBytes, production: isWhole ? (production?.counts ?? null) : null, server, session }),
      ],
      ...(settings.drill?.assertions ?? []).map((assertion): [string, () => Promise<Outcome>] => [
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

  /** Runs after every outcome, even after the signal to end. */
  async #remove(made: MadeCluster | null): Promise<void> {
    if (made === null) return;
    const waitMs = this.#ctx.signal.aborted ? REMOVE_HURRIED_MS : REMOVE_MS;
    const own = { ...this.#ctx, signal: new AbortController().signal };
    try {
      await removeCluster(this.#deps.api, made, waitMs, own);
    } catch (error) {
      this.#journal.fail("delete", toBackupError(error, "pathRemove"));
    }
  }

  #tooLong(state: string): BackupError {
    const last = state === "" ? "" : `; the throw-away Cluster: ${state}`;
    return fail("runtime", `the drill took longer than ${this.#asked.maxMinutes} minutes${last}`, {
      hint: "Allow more with --max-minutes.",
    });
  }
}

/**
 * The end of the recovery, as the parameter `newestWal` has it: streamed WAL continues the archive, up to where it was
 * when the drill began.
 */
async function lastWal({ newestWal, picked, repo }: Chosen, ctx: Context): Promise<string | null> {
  if (picked.type !== "default" || newestWal === null) return newestWal;
  const stream = await surveyStream(repo).catch((error: unknown) => {
    ctx.log.warn(`the drill leaves out streamed WAL: ${toBackupError(error).message}`);
    return null;
  });
  return stream === null || stream.segment <= newestWal ? newestWal : `${stream.segment}@${stream.lsn}`;
}
