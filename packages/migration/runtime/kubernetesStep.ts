/**
 * A migration's changes in Kubernetes around its copy, and the transfer of a report out of the pod.
 *
 * Each previous state is written into a Secret of the migration before the change. So a killed step can run again, and
 * the migration can be undone. Every step may be repeated.
 */
import { parseArgs } from "node:util";
import type { Context } from "../../../runtime/base/context";
import { fail } from "../../../runtime/base/errors";
import { at, type Json, type JsonObject, listAt, textAt } from "../../../runtime/cnpg/kubernetes/clusterObject";
import { type Collection, type KubernetesApi, openKubernetes } from "../../../runtime/cnpg/kubernetes/kubernetesApi";
import {
  boundReport,
  type MigrationFile,
  type MigrationRecord,
  parseMigrationFile,
  parseRecord,
  secretKey,
  selectorOf,
  type Workload,
  workloadKey,
} from "./migrationFile";
import { PATHS } from "../../../runtime/cnpg/names";
import { JOB_PATHS } from "../names";
import type { Invocation } from "./runProgram";

const SECRETS: Collection = { api: "v1", plural: "secrets" };
const CONFIG_MAPS: Collection = { api: "v1", plural: "configmaps" };
const PODS: Collection = { api: "v1", plural: "pods" };
const JOBS: Collection = { api: "batch/v1", plural: "jobs" };
const WORKLOADS: Readonly<Record<Workload["kind"], Collection>> = {
  Deployment: { api: "apps/v1", plural: "deployments" },
  StatefulSet: { api: "apps/v1", plural: "statefulsets" },
  CronJob: { api: "batch/v1", plural: "cronjobs" },
};
const RECORD_KEY = "record";
const CONFLICTS_MAX = 20;
const PAUSE_MS = 2000;
/** Limit for pods to end. */
const STOP_MS = 30 * 60_000;
/** The controller may have started a run just as its CronJob was suspended: the run appears a moment later. */
const QUIET_LOOKS = 3;
/** The API server takes objects of 1 MiB. */
const REPORT_SIZE_BYTES_MAX = 900_000;
/** Exit code of `migrate plan` when the migration cannot begin: an answer, not a failure. */
const PLAN_REFUSED = 81;

interface Work {
  readonly api: KubernetesApi;
  readonly file: MigrationFile;
  readonly ctx: Context;
  readonly readFile: (path: string) => Promise<Uint8Array | null>;
}

const STEPS: Readonly<Record<string, (work: Work) => Promise<void>>> = {
  stop: stopWorkloads,
  start: (work) => startWorkloads(work, true),
  resume: (work) => startWorkloads(work, false),
  repoint: repointSecrets,
  restore: restoreSecrets,
};

const OPTIONS = {
  "kubernetes-host": { type: "string", default: "kubernetes.default.svc" },
  "kubernetes-port": { type: "string", default: "443" },
  "kubernetes-account-path": { type: "string", default: "/var/run/secrets/kubernetes.io/serviceaccount" },
  "migration-file": { type: "string", default: `${JOB_PATHS.migration}/steps.json` },
} as const;

export const kubernetesHelp = `Changes that a migration makes in Kubernetes, from inside of a pod

Usage:
    kubernetes.cjs [options] ${[...Object.keys(STEPS), "report VERB"].join("|")}

Options:
${Object.entries(OPTIONS)
  .map(([name, option]) => `    --${name}=… [default=${option.default}]`)
  .join("\n")}
`;

export async function changeKubernetes(proc: Invocation): Promise<number> {
  const { positionals, values } = parse(proc.args);
  const [stepName = "", verb, ...more] = positionals;
  const step = STEPS[stepName];
  const isReport = stepName === "report" && verb !== undefined && more.length === 0;
  if (!isReport && (step === undefined || verb !== undefined))
    throw fail("paramInvalid", `a Job takes one step: ${[...Object.keys(STEPS), "report VERB"].join(", ")}`);
  const { readFile } = proc;
  const ctx = proc.context("info");
  const access = {
    host: values["kubernetes-host"],
    port: Number(values["kubernetes-port"]),
    accountPath: values["kubernetes-account-path"],
  };
  const file = parseMigrationFile(await loadFile(readFile, values["migration-file"]));
  const work: Work = { api: await openKubernetes(access, ctx.signal), file, ctx, readFile };
  if (step === undefined) return handOver(work, verb ?? "");
  await step(work);
  return 0;
}

/** @throws optionInvalid */
function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw fail("optionInvalid", (error as Error).message);
  }
}

async function loadFile(readFile: Work["readFile"], path: string): Promise<Uint8Array> {
  const bytes = await readFile(path);
  if (bytes === null) throw fail("fileMissing", `unable to open missing file '${path}' for read`, { path });
  return bytes;
}

async function stopWorkloads(work: Work): Promise<void> {
  const { ctx, file } = work;
  for (const workload of file.workloads) {
    if (await isMoved(work)) {
      ctx.log.warn("the applications already use the target: nothing is stopped");
      return;
    }
    const object = await loadWorkload(work, workload);
    const count = countOf(workload, object);
    // A killed run has already changed it: keep the first record.
    await remember(work, (record) => ({ ...record, replicas: { [workloadKey(workload)]: count, ...record.replicas } }));
    await scale(work, workload, 0);
  }
  for (const workload of file.workloads) await awaitStopped(work, workload);
}

function countOf({ kind }: Workload, object: JsonObject): number {
  if (kind === "CronJob") return at(object, "spec", "suspend") === true ? 0 : 1;
  const count = at(object, "spec", "replicas");
  return typeof count === "number" ? count : 1;
}

async function isMoved({ api, file }: Work): Promise<boolean> {
  return (await loadRecord(api, file)).record.moved;
}

async function startWorkloads(work: Work, moved: boolean): Promise<void> {
  const { api, ctx, file } = work;
  const { record } = await loadRecord(api, file);
  for (const workload of file.workloads) {
    const count = record.replicas[workloadKey(workload)];
    if (count === undefined)
      ctx.log.info(`${workload.kind} ${workload.name} was not stopped by this migration: not changed`);
    else await scale(work, workload, count);
  }
  await remember(work, (now) => ({ ...now, replicas: {}, moved }));
}

async function repointSecrets(work: Work): Promise<void> {
  const { api, ctx, file, readFile } = work;
  for (const secret of file.secrets) {
    const values = new Map<string, string>();
    for (const [key, name] of Object.entries(secret.keys))
      values.set(key, Buffer.from(await loadFile(readFile, `${JOB_PATHS.values}/${name}`)).toString("base64"));
    await change(api, inNamespace(SECRETS, secret.namespace), secret.name, async (object) => {
      const old = [...values.keys()].map(
        (key) => [secretKey(secret, key), textAt(object, "data", key) ?? null] as const,
      );
      await remember(work, (record) => ({ ...record, secrets: { ...Object.fromEntries(old), ...record.secrets } }));
      return { data: Object.fromEntries(values) };
    });
    ctx.log.info(`Secret ${secret.name} has new values of ${[...values.keys()].join(", ")}`);
  }
}

async function restoreSecrets(work: Work): Promise<void> {
  const { api, ctx, file } = work;
  const { record } = await loadRecord(api, file);
  for (const secret of file.secrets) {
    const keys = Object.keys(secret.keys).filter((key) => secretKey(secret, key) in record.secrets);
    if (keys.length === 0) {
      ctx.log.info(`Secret ${secret.name} was not changed by this migration: not restored`);
      continue;
    }
    const data = Object.fromEntries(keys.map((key) => [key, record.secrets[secretKey(secret, key)] ?? null]));
    await change(api, inNamespace(SECRETS, secret.namespace), secret.name, async () => ({ data }));
    ctx.log.info(`Secret ${secret.name} has its old values of ${keys.join(", ")}`);
  }
  await remember(work, (now) => ({ ...now, secrets: {} }));
}

/** Puts the program's report into a ConfigMap, which a stack can read. The step ends with the program's exit code. */
async function handOver({ api, ctx, file, readFile }: Work, verb: string): Promise<number> {
  const text = Buffer.from(await loadFile(readFile, `${PATHS.run}/report.json`)).toString("utf8");
  const code = Number(Buffer.from(await loadFile(readFile, `${PATHS.run}/code`)).toString("utf8"));
  if (text.trim() !== "") {
    const name = `${file.report}-${verb}`;
    await change(api, CONFIG_MAPS, name, async () => ({ data: { report: boundReport(text, REPORT_SIZE_BYTES_MAX) } }));
    ctx.log.info(`migrate ${verb} ended with ${code}; its report is in the ConfigMap ${name}`);
  }
  return verb === "plan" && code === PLAN_REFUSED && text.trim() !== "" ? 0 : code;
}

function inNamespace(collection: Collection, namespace: string | undefined): Collection {
  return namespace === undefined ? collection : { ...collection, namespace };
}

function collectionOf({ kind, namespace }: Workload): Collection {
  return inNamespace(WORKLOADS[kind], namespace);
}

async function loadWorkload({ api }: Work, workload: Workload): Promise<JsonObject> {
  return load(api, collectionOf(workload), workload.name);
}

async function load(api: KubernetesApi, collection: Collection, name: string): Promise<JsonObject> {
  const object = await api.find(collection, name);
  if (object === null)
    throw fail(
      "fileMissing",
      `${name} does not exist among ${collection.plural} of namespace ${collection.namespace ?? api.namespace}`,
    );
  return object;
}

/** A CronJob is suspended or resumed instead. */
async function scale({ api, ctx }: Work, workload: Workload, count: number): Promise<void> {
  if (workload.kind === "CronJob") {
    await api.patch(collectionOf(workload), workload.name, { spec: { suspend: count === 0 } });
    ctx.log.info(`CronJob ${workload.name} is ${count === 0 ? "suspended" : "no longer suspended"}`);
    return;
  }
  await api.patch({ ...collectionOf(workload), part: "scale" }, workload.name, { spec: { replicas: count } });
  ctx.log.info(`${workload.kind} ${workload.name} is scaled to ${count}`);
}

/** Waits until no pod is left: an ending pod may still write. @throws service */
async function awaitStopped(work: Work, workload: Workload): Promise<void> {
  const { ctx } = work;
  const isCron = workload.kind === "CronJob";
  const end = ctx.clock.monotonicMs() + STOP_MS;
  for (let quietLooks = 0; ; ) {
    const { isSeen, left } = await (isCron ? runsLeft(work, workload) : podsLeft(work, workload));
    quietLooks = isSeen && left === 0 ? quietLooks + 1 : 0;
    if (quietLooks >= (isCron ? QUIET_LOOKS : 1)) return;
    if (ctx.clock.monotonicMs() >= end)
      throw fail(
        "service",
        `${workload.kind} ${workload.name} still has ${left} ${isCron ? "runs" : "pods"} after ${STOP_MS / 60_000} minutes`,
        {
          hint: isCron
            ? "List them with kubectl get jobs. Wait for them to finish or delete them, then run the update again."
            : "Check kubectl get pods. If an autoscaler or GitOps scales it up again, suspend that.",
        },
      );
    await ctx.clock.sleep(PAUSE_MS, ctx.signal);
  }
}

interface Left {
  /** True when the controller has seen the change. */
  readonly isSeen: boolean;
  readonly left: number;
}

async function podsLeft(work: Work, workload: Workload): Promise<Left> {
  const object = await loadWorkload(work, workload);
  const selector = selectorOf(object);
  const isSeen =
    Number(at(object, "status", "observedGeneration") ?? 0) >= Number(at(object, "metadata", "generation") ?? 0);
  const replicas = Number(at(object, "status", "replicas") ?? 0);
  const pods =
    selector === null
      ? []
      : (
          await work.api.list(
            inNamespace(PODS, workload.namespace),
            selector,
            (pod) => textAt(pod, "status", "phase") ?? "Unknown",
          )
        ).items;
  return {
    isSeen,
    left: Math.max(replicas, pods.filter((phase) => phase !== "Succeeded" && phase !== "Failed").length),
  };
}

/** Its unfinished Jobs, including manual ones. */
async function runsLeft(work: Work, workload: Workload): Promise<Left> {
  const uid = textAt(await loadWorkload(work, workload), "metadata", "uid");
  const isLeft = (job: Json): boolean => {
    const isOwn =
      uid !== undefined && listAt(job, "metadata", "ownerReferences").some((owner) => textAt(owner, "uid") === uid);
    const hasEnded = listAt(job, "status", "conditions").some(
      (condition) =>
        ["Complete", "Failed"].includes(textAt(condition, "type") ?? "") && textAt(condition, "status") === "True",
    );
    return isOwn && (!hasEnded || Number(at(job, "status", "active") ?? 0) > 0);
  };
  const { items } = await work.api.list(inNamespace(JOBS, workload.namespace), null, isLeft);
  return { isSeen: true, left: items.filter(Boolean).length };
}

async function loadRecord(
  api: KubernetesApi,
  { record }: MigrationFile,
): Promise<{ readonly record: MigrationRecord; readonly object: JsonObject }> {
  const object = await load(api, SECRETS, record);
  const text = textAt(object, "data", RECORD_KEY);
  return { object, record: parseRecord(text === undefined ? undefined : Buffer.from(text, "base64").toString("utf8")) };
}

async function remember({ api, file }: Work, next: (record: MigrationRecord) => MigrationRecord): Promise<void> {
  await change(api, SECRETS, file.record, async (object) => {
    const text = textAt(object, "data", RECORD_KEY);
    const record = parseRecord(text === undefined ? undefined : Buffer.from(text, "base64").toString("utf8"));
    return { data: { [RECORD_KEY]: Buffer.from(JSON.stringify(next(record))).toString("base64") } };
  });
}

/** Uses the object's current state: if another client changes it in between, it is read again. */
async function change(
  api: KubernetesApi,
  collection: Collection,
  name: string,
  fieldsOf: (object: JsonObject) => Promise<JsonObject>,
): Promise<void> {
  for (let attempt = 0; attempt < CONFLICTS_MAX; attempt++) {
    const object = await load(api, collection, name);
    const resourceVersion = textAt(object, "metadata", "resourceVersion") ?? "";
    if (await api.patch(collection, name, { ...(await fieldsOf(object)), metadata: { resourceVersion } })) return;
  }
  throw fail("service", `unable to change ${name} among ${collection.plural}: another client keeps changing it`);
}
