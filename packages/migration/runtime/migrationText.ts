/** Reports of a migration's steps for a terminal. Pure. */
import { durationText, formatSize } from "../../../runtime/base/units";
import type { Difference } from "./compareClusters";
import type { CopyReport } from "./copyDatabases";
import type { FinishReport } from "./judgeFinish";
import type { ClientFacts } from "./facts";
import type { MigrationPlan, PlanFinding } from "./migrationPlan";
import type { VerifyReport } from "./verifyMigration";

const NAMES_MAX = 60;

export function planText(plan: MigrationPlan): string {
  const { clients, databases, estimateSeconds, keptRoles, refusals, roles, sizeBytes, source, target, warnings } = plan;
  const done = databases.filter(({ state }) => state !== "copy").length;
  return text([
    `migration from PostgreSQL ${source.version} (${source.systemId}) to PostgreSQL ${target.version} (${target.systemId})`,
    `  databases: ${databases.length}, ${formatSize(sizeBytes)}${done === 0 ? "" : `; ${done} of them copied by an earlier run`}`,
    ...databases.map(({ name, sizeBytes: size, state }) => `    ${name}, ${formatSize(size)}${STATES[state]}`),
    `  roles to create: ${listed(roles)}`,
    ...(keptRoles.length === 0 ? [] : [`  existing roles: ${listed(keptRoles)}`]),
    `  about ${durationText(estimateSeconds)} (an estimate from sizes)`,
    ...(clients.length === 0
      ? ["  no clients are connected to them now"]
      : ["  connected clients, to be stopped first:", ...clientLines(clients)]),
    ...findings("!", refusals),
    ...findings("note:", warnings),
    refusals.length === 0
      ? "the migration can begin"
      : `the migration cannot begin: ${refusals.length} ${refusals.length === 1 ? "obstacle" : "obstacles"}`,
  ]);
}

export function copyText({ databases, elapsedMs, roles }: CopyReport): string {
  const copied = databases.filter(({ state }) => state === "copied");
  const bytes = copied.reduce((sum, each) => sum + each.bytes, 0);
  const kept = databases.length - copied.length;
  return text([
    `copied ${copied.length} databases (${formatSize(bytes)} of dump) in ${durationText(Math.round(elapsedMs / 1000))}${kept === 0 ? "" : `; ${kept} copied by an earlier run`}`,
    `  roles created: ${listed(roles)}`,
    "  the source is read-only and accepts only superusers; pgbackstop-migration release undoes that",
    "next: pgbackstop-migration verify",
  ]);
}

export function verifyText(report: VerifyReport): string {
  const { clients, databases, differenceCount, differences, guarded, notes, ok, roles } = report;
  const sum = (of: (each: (typeof databases)[number]) => number): number =>
    databases.reduce((total, each) => total + of(each), 0);
  return text([
    ok
      ? "source and target are identical"
      : `NOT the same: ${differenceCount} ${differenceCount === 1 ? "difference" : "differences"}`,
    `  compared: ${databases.length} databases, ${roles} roles, ${sum(({ tables }) => tables)} tables with ${sum(({ rows }) => rows)} rows, ` +
      `${sum(({ sequences }) => sequences)} sequences, ${sum(({ largeObjects }) => largeObjects)} large objects, ${sum(({ objects }) => objects)} definitions`,
    ...differences.map((difference) => `  ! ${differenceText(difference)}`),
    ...(differenceCount > differences.length ? [`  ! and ${differenceCount - differences.length} more`] : []),
    ...notes.map((note) => `  note: ${differenceText(note)}`),
    ...(clients.length === 0 ? [] : ["  connected to the source:", ...clientLines(clients)]),
    ...(guarded
      ? []
      : [
          "  note: the source is writable, or clients connected before it became read-only: later changes are not in the target, and finish does not accept this result",
        ]),
  ]);
}

export function finishText({ backups, copiedAtS, databases, drill, mayRetireSource, missing }: FinishReport): string {
  return text([
    mayRetireSource ? "the source can be removed" : "the source must stay",
    ...(copiedAtS === null
      ? []
      : [`  ${databases} databases, copied until ${new Date(copiedAtS * 1000).toISOString()}`]),
    ...backups.map(({ label, repo }) => `  repo${repo}: ${label ?? "no backup since"}`),
    ...(drill === null ? [] : [`  drill: ${drill}`]),
    ...missing.map((line) => `  ! ${line}`),
  ]);
}

const STATES = {
  copy: "",
  stale: ", copied by an earlier run, to be compared",
  done: ", copied by an earlier run",
} as const;

function differenceText({ database, kind, name, text: what }: Difference): string {
  return `${database === null ? "" : `${database}: `}${kind} ${name}: ${what}`;
}

function clientLines(clients: readonly ClientFacts[]): string[] {
  return clients.map(
    ({ address, application, count, database, user }) =>
      `    ${database}: ${user}${application === "" ? "" : ` (${application})`} from ${address}, ${count} ${count === 1 ? "connection" : "connections"}`,
  );
}

function findings(sign: string, entries: readonly PlanFinding[]): string[] {
  return entries.flatMap(({ fact, rule, wayOut }) => [`  ${sign} ${fact}`, `      ${rule}: ${wayOut}`]);
}

function listed(names: readonly string[]): string {
  if (names.length === 0) return "none";
  return `${names.slice(0, NAMES_MAX).join(", ")}${names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : ""}`;
}

function text(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
