/** Commits that wait for repositories: invalid arguments, and what the agent sets and costs. Pure. */
import { DEGRADE_S_MAX, GROUP_MS_MAX } from "../../../runtime/config/settings";
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan, SynchronousPlan } from "../model/plan";
import type { RepositoryPlan } from "../repositories/repositoryTypes";
import { findPrice } from "../storage/cost";
import { isWithin } from "./values";

const MODES = ["any", "all", "named"];
const SECONDS_PER_MONTH = 30 * 86_400;
/** An assumption: what a request to a bucket in the same region takes. Two are on their way at the same time. */
const REQUEST_SECONDS = 0.03;
const UPLOADS = 2;

export function checkSynchronous({ kind, repositories, synchronous }: DatabasePlan): Finding[] {
  if (synchronous === undefined) return [];
  if (kind === "cnpg") {
    const fact = "commits of a cluster cannot wait for repositories: its operator sets synchronous_standby_names";
    return [finding("PB150", "streaming.synchronous", fact, "leave it out; an interval alone loses seconds")];
  }
  const findings = [...checkPolicy(synchronous, repositories), ...checkNumbers(synchronous)];
  return findings.length > 0 ? findings : [effectOf(synchronous, repositories)];
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
  return [finding("PB017", "streaming.repositories", `${missing.join(", ")} is not a repository of this host`, hint)];
}

function checkNumbers({ degradeAfterSeconds, groupMilliseconds }: SynchronousPlan): Finding[] {
  const check = (name: string, value: number | undefined, max: number): Finding[] =>
    value === undefined || (Number.isInteger(value) && isWithin(value, 1, max))
      ? []
      : [finding("PB014", `streaming.${name}`, `${value} is not a whole number from 1 to ${max}`, "")];
  return [
    ...check("degradeAfterSeconds", degradeAfterSeconds, DEGRADE_S_MAX),
    ...check("groupMilliseconds", groupMilliseconds, GROUP_MS_MAX),
  ];
}

function effectOf(plan: SynchronousPlan, repositories: readonly RepositoryPlan[]): Finding {
  const { degradeAfterSeconds, mode, repositories: named } = plan;
  const awaited = repositories.filter(({ name }) => mode !== "named" || named.includes(name));
  const who = `${mode === "any" && awaited.length > 1 ? "one of " : ""}${awaited.map(({ name }) => name).join(mode === "any" ? ", " : " and ")}`;
  const holds = mode === "any" || awaited.length === 1 ? "holds" : "hold";
  const outage =
    degradeAfterSeconds === undefined
      ? "while they do not answer, or the agent is down, every commit waits"
      : `after ${degradeAfterSeconds} s without an answer commits no longer wait, and can be lost with the host until it answers again`;
  const fact =
    `each commit waits until ${who} ${holds} it: the agent adds pgbackstop to synchronous_standby_names, and needs the right to; ` +
    `${outage}; ${awaited.map((repository) => requestsText(repository, plan)).join("; ")}`;
  return finding("PB151", "streaming.synchronous", fact, "");
}

/** At most, and only while commits arrive without a pause. */
function requestsText(repository: RepositoryPlan, { groupMilliseconds }: SynchronousPlan): string {
  const perSecond = Math.round(groupMilliseconds === undefined ? UPLOADS / REQUEST_SECONDS : 1000 / groupMilliseconds);
  const row = findPrice(repository);
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
