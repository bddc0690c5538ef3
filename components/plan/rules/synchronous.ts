/** Commits that wait for repositories: invalid arguments, and what they wait for and cost. Pure. */
import { checkRange } from "../arguments/ranges";
import { SYNCHRONOUS_NAME } from "../../../runtime/cnpg/names";
import type { ClusterPlan } from "../cluster/clusterPlan";
import { specOf, type SynchronousField, synchronousField } from "../cluster/synchronousStandbys";
import { engineOf } from "../engines/engines";
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan, SynchronousPlan } from "../model/plan";
import { abstaining, eachOf } from "../findings/abstain";
import type { RepositoryPlan } from "../repositories/repositoryTypes";
import { priceOf } from "../storage/cost";

const MODES = ["any", "all", "named"];
const SECONDS_PER_MONTH = 30 * 86_400;
/** An assumption: what a request to a bucket in the same region takes. Two are on their way at the same time. */
const REQUEST_SECONDS = 0.03;
const UPLOADS = 2;

/** Checks a host. */
export function checkSynchronous({ repositories, synchronous }: DatabasePlan): Finding[] {
  if (synchronous === undefined) return [];
  const findings = abstaining(
    () => checkPolicy(synchronous, repositories),
    () => checkNumbers(synchronous),
  );
  if (findings.length > 0) return findings;
  const setter = `the agent adds ${SYNCHRONOUS_NAME} to synchronous_standby_names, and needs the right to`;
  return [effectOf(synchronous, repositories, setter, "agent")];
}

/** Checks a cluster. @param attached to a Cluster that others made */
export function checkClusterSynchronous(plan: ClusterPlan, attached: boolean): Finding[] {
  const { engine, repositories, synchronous, withoutBackups } = plan.database;
  if (synchronous === undefined || withoutBackups === true || !engineOf(engine).own) return [];
  const findings = abstaining(
    () => checkPolicy(synchronous, repositories),
    () => checkNumbers(synchronous),
    () => {
      const field = synchronousField(plan);
      return field.isSayable ? [] : [finding("PB150", field.path, field.fact, field.hint)];
    },
    () => checkLimit(synchronous),
    () => checkCommitSetting(plan),
  );
  if (findings.length > 0) return findings;
  const field = synchronousField(plan);
  if (!field.isSayable) return [];
  const effect = effectOf(synchronous, repositories, setterText(field, attached), "primary's sidecar");
  return [effect, ...abstaining(() => checkFailover(plan, field.standbys))];
}

function setterText({ standbys }: SynchronousField & { readonly isSayable: true }, attached: boolean): string {
  const names = standbys === 0 ? SYNCHRONOUS_NAME : `${SYNCHRONOUS_NAME} and ${standbys} standby(s)`;
  const owner = attached
    ? "; one that the Cluster has already fails the update, or is replaced with takeOverPlugins"
    : "";
  return `postgresql.synchronous of the Cluster requires ${names}${owner}`;
}

function checkLimit({ degradeAfterSeconds }: SynchronousPlan): Finding[] {
  if (degradeAfterSeconds === undefined) return [];
  const fact = "a cluster's operator alone sets synchronous_standby_names, so nothing can end a wait by itself";
  const hint = 'leave it out; "Commits hang" of the recovery runbook ends a wait by hand';
  return [finding("PB150", "streaming.degradeAfterSeconds", fact, hint)];
}

/** Values of PostgreSQL's `synchronous_commit` that wait for no flush, or for what a repository never does. */
const LOCAL = ["off", "local", "false", "no", "0"];

function checkCommitSetting(plan: ClusterPlan): Finding[] {
  const name = "synchronous_commit";
  const given = specOf(plan).postgresql?.parameters?.[name] ?? plan.definition.parameters[name];
  const value = typeof given === "string" ? given.trim().toLowerCase() : "";
  const path = `parameters.${name}`;
  if (value === "remote_apply") {
    const fact = "a repository applies no WAL, so each commit would wait forever for remote_apply";
    return [finding("PB150", path, fact, 'set "on", or leave it out')];
  }
  if (!LOCAL.includes(value)) return [];
  const fact = `with "${value}" PostgreSQL acknowledges commits that no repository holds`;
  return [finding("PB150", path, fact, "leave it out, or leave streaming.synchronous out")];
}

/** The most advanced standby may lack what the repositories hold. */
function checkFailover({ database: { instances } }: ClusterPlan, standbys: number): Finding[] {
  if (standbys > 0 || instances < 2) return [];
  const fact =
    "a failover may promote a standby that lacks the last acknowledged commits: repositories hold them, the new primary does not";
  return [finding("PB152", "streaming.standbys", fact, "set streaming.standbys: 1")];
}

function checkPolicy(
  { mode, repositories: named }: SynchronousPlan,
  repositories: readonly RepositoryPlan[],
): Finding[] {
  const path = "streaming.synchronous";
  if (!MODES.includes(mode)) return [finding("PB017", path, `"${mode}" is not a mode: use ${MODES.join(", ")}`, "")];
  if ((mode === "named") !== named.length > 0) {
    const fact = 'streaming.repositories and synchronous "named" go together';
    return [finding("PB017", path, fact, 'set both, for instance synchronous: "named", repositories: ["repo1"]')];
  }
  const missing = named.filter((name) => !repositories.some((repository) => repository.name === name));
  if (missing.length === 0) return [];
  const hint = `use names from ${repositories.map(({ name }) => name).join(", ")}`;
  return [finding("PB017", "streaming.repositories", `${missing.join(", ")} is not a repository here`, hint)];
}

function checkNumbers(plan: SynchronousPlan): Finding[] {
  return eachOf(["degradeAfterSeconds", "groupMilliseconds"] as const, (name) =>
    checkRange(`StreamingArgs.${name}`, `streaming.${name}`, plan[name], "not a whole number from"),
  );
}

function effectOf(
  plan: SynchronousPlan,
  repositories: readonly RepositoryPlan[],
  setter: string,
  receiver: string,
): Finding {
  const { degradeAfterSeconds, mode, repositories: named } = plan;
  const awaited = repositories.filter(({ name }) => mode !== "named" || named.includes(name));
  const who = `${mode === "any" && awaited.length > 1 ? "one of " : ""}${awaited.map(({ name }) => name).join(mode === "any" ? ", " : " and ")}`;
  const holds = mode === "any" || awaited.length === 1 ? "holds" : "hold";
  const outage =
    degradeAfterSeconds === undefined
      ? `while they do not answer, or the ${receiver} is down, every commit waits`
      : `after ${degradeAfterSeconds} s without an answer commits no longer wait, and can be lost with the host until it answers again`;
  const fact =
    `each commit waits until ${who} ${holds} it: ${setter}; ` +
    `${outage}; ${awaited.map((repository) => requestsText(repository, plan)).join("; ")}`;
  return finding("PB151", "streaming.synchronous", fact, "");
}

/** At most, and only while commits arrive without a pause. */
function requestsText(repository: RepositoryPlan, { groupMilliseconds }: SynchronousPlan): string {
  const perSecond = Math.round(groupMilliseconds === undefined ? UPLOADS / REQUEST_SECONDS : 1000 / groupMilliseconds);
  const row = priceOf(repository);
  const { name } = repository;
  if (row === null)
    return `${name}: at most one write per ${groupMilliseconds === undefined ? "half its duration" : `${groupMilliseconds} ms`}`;
  const paid = Math.max(perSecond * SECONDS_PER_MONTH - row.freeWrites, 0);
  const price = (paid / 1e6) * row.writesPerMillion;
  const cost =
    price === 0
      ? "free of charge"
      : `$${price < 10 ? price.toFixed(2) : Math.round(price)} a month if that never ended`;
  const assumed = groupMilliseconds === undefined ? " (30 ms each assumed; groupMilliseconds limits it)" : "";
  return `${name}: at most ${perSecond} writes a second under load${assumed}, ${cost}`;
}
