/** The screen and the JSON of `status`. Pure. */
import { timeText } from "../../base/clock";
import type { BackupError } from "../../base/errors";
import { printableValue } from "../../base/printable";
import { durationText, formatSize } from "../../base/units";
import type { JsonValue } from "../../format/repository/json";
import type { SlotReport } from "../../local/slotState";
import type { NextRun } from "../../local/stanzaUnits";
import type { SynchronousReport } from "../../local/streamState";
import { titlesOf, type Trouble } from "../../recoverability/troubles";
import type { DrillRecord } from "../drill/record";
import { databasesText, type DumpSurvey, dumpsField } from "../dump/surveyDumps";
import { holdText } from "../expire/hold";
import { isRead } from "../slot/slotReport";
import type { StoredFull } from "./destinations";
import { openedJson, openedText } from "./opened";
import { isWell, type RepoStatus, type StatusReport } from "./status";

/** A shorter wait of commits is an upload. */
const WAIT_S_MIN = 5;

export function statusText(report: StatusReport): string {
  const { nowS, repos, running, stanza, troubles, waiting } = report;
  const { next, notLookedAt } = report.host;
  const lines = [`${stanza}: ${titleOf(report)}`, ...repos.flatMap((repo) => repoLines(repo, nowS))];
  const age = (atS: number | null): string =>
    atS === null ? "" : `, the oldest for ${durationText(Math.max(0, nowS - atS))}`;
  if (waiting !== null)
    lines.push(
      row("waiting WAL", waiting.count === 0 ? "none" : `${waiting.count} file(s)${age(waiting.oldestAtS)}`, ""),
    );
  if (report.slot !== null) lines.push(row("slot", slotText(report.slot), ""));
  if (report.synchronous?.isWaiting === true) lines.push(row("commits", waitText(report.synchronous), ""));
  lines.push(...troubles.flatMap((trouble) => troubleLines(trouble, "  ")));
  if (next !== null && next.length > 0)
    lines.push(row("next runs", next.map((run) => nextText(run, nowS)).join(", "), ""));
  for (const each of notLookedAt) lines.push(row("not looked at", each, ""));
  for (const { percent, what } of running)
    lines.push(row(`${what} now`, percent === null ? "running" : `${percent} % done`, ""));
  for (const opened of report.opened) lines.push(row("open", openedText(opened), ""));
  return `${lines.join("\n")}\n`;
}

function slotText({ retainedBytes, safeBytes, slot }: SlotReport): string {
  const left = safeBytes === null ? "no limit" : `${formatSize(Math.max(0, safeBytes))} until WAL is lost`;
  return `${slot} keeps ${formatSize(retainedBytes)} of WAL, ${left}`;
}

function waitText({ waitingS }: SynchronousReport): string {
  const now = waitingS < WAIT_S_MIN ? "" : `, now for ${durationText(waitingS)}`;
  return `wait for repositories (synchronous)${now}`;
}

function titleOf(report: StatusReport): string {
  const { nowS, proof, repos, troubles } = report;
  const proven =
    proof === null
      ? "no drill has restored these backups"
      : `last proven by a drill that ${proof.opened === undefined ? "restored" : "opened"} repo${proof.repo} ${durationText(Math.max(0, nowS - proof.endedAtS))} ago`;
  if (isWell(report)) return `all is well, ${proof === null ? "but " : ""}${proven}`;
  const troubled = repos.filter((repo) => repo.troubles.length > 0).length;
  const verb = troubled === 1 ? "needs" : "need";
  const counted = troubled === 0 ? [] : [`${troubled} of ${repos.length} repositories ${verb} attention`];
  return `${[...counted, ...titlesOf(troubles)].join(", ")}; ${proven}`;
}

function troubleLines({ hints, message, name }: BackupError, indent: string): string[] {
  return [
    `${indent}! [${name}] ${message.replaceAll("\n", `\n${indent}  `)}`,
    ...hints.map((hint) => `${indent}  HINT: ${hint}`),
  ];
}

/** `full in 3 hours` */
function nextText({ name, nextAtS }: NextRun, nowS: number): string {
  if (nextAtS === null) return `${name} not planned`;
  return nextAtS <= nowS ? `${name} now` : `${name} in ${durationText(nextAtS - nowS)}`;
}

function drillText({ endedAtS, ok, opened, rtoMs }: DrillRecord, nowS: number): string {
  const restored = rtoMs === null ? "" : `, open after ${durationText(Math.ceil(rtoMs / 1000))}`;
  const open = opened === undefined ? restored : ", opened instead of restored";
  return `${ok ? "passed" : "failed"} ${durationText(Math.max(0, nowS - endedAtS))} ago${open}`;
}

/** What the last tried recovery did not restore, and how that is known. */
function rpoText({ endedAtS, rpo }: DrillRecord, nowS: number): string {
  return rpo === null
    ? ""
    : `${durationText(Math.ceil(rpo.seconds))} (${rpo.method}), ${durationText(Math.max(0, nowS - endedAtS))} ago`;
}

function repoLines(repo: RepoStatus, nowS: number): string[] {
  const ago = (atS: number): string => `${durationText(Math.max(0, nowS - atS))} ago`;
  const { currentCount, newest, newestFull, newestWal, missingWalCount, recoverableFromS, verified } = repo;
  const lines = [`  repo${repo.key}  ${repo.location}`];
  if (newest !== null) lines.push(row("newest backup", `${newest.label} (${newest.type}), ${ago(newest.stoppedAtS)}`));
  if (newestFull !== null && newestFull.label !== newest?.label)
    lines.push(row("newest full", `${newestFull.label}, ${ago(newestFull.stoppedAtS)}`));
  if (recoverableFromS !== null) {
    const isBroken = repo.troubles.some(({ code }) => code === "gap" || code === "backupWal");
    const end = isBroken
      ? "to the missing WAL below"
      : newestWal === null
        ? "no WAL after them"
        : `to ${timeText(newestWal.storedAtS)} (${ago(newestWal.storedAtS)})`;
    lines.push(row("recoverable", `from ${timeText(recoverableFromS)} ${end}, ${currentCount} backup(s)`));
  }
  for (const { backupCount, fromS, toS, version } of repo.earlier) {
    const text = `from ${timeText(fromS)} to ${timeText(toS)} or later, ${backupCount} backup(s)`;
    lines.push(row(`before, in ${version}`, text));
  }
  if (repo.lookedFrom !== null) {
    const last = verified === null ? "never verified on this host" : `verified ${ago(verified.endedAtS)}`;
    lines.push(row("WAL looked at", `from ${repo.lookedFrom} on; ${last}`));
  }
  for (const { hold, label } of repo.held) lines.push(row("kept", printableValue(`${label}, ${holdText(hold)}`)));
  if (repo.stream !== null) {
    const behind =
      repo.streamBehindBytes === 0 ? "" : `, ${formatSize(repo.streamBehindBytes)} behind another repository`;
    lines.push(
      row("streamed", `to ${repo.stream.lsn}, everything written ${ago(repo.stream.atS)} or earlier${behind}`),
    );
  }
  if (repo.dumps?.newest != null) lines.push(row("newest dump", dumpText(repo.dumps.newest, repo.dumps, ago)));
  if (repo.drill !== null) lines.push(row("last drill", drillText(repo.drill, nowS)));
  if (repo.attack !== null) lines.push(row("last attack", drillText(repo.attack, nowS)));
  if (repo.rpoDrill !== null) lines.push(row("lost then", rpoText(repo.rpoDrill, nowS)));
  if (missingWalCount > 0) lines.push(row("missing WAL", `${missingWalCount} file(s)`));
  lines.push(...repo.troubles.flatMap((trouble) => troubleLines(trouble, "    ")));
  return lines;
}

function dumpText(
  newest: NonNullable<DumpSurvey["newest"]>,
  { completeCount }: DumpSurvey,
  ago: (atS: number) => string,
): string {
  const count = completeCount === 1 ? "" : `, ${completeCount} dumps`;
  return printableValue(`${newest.label}, ${ago(newest.stoppedAtS)}: ${databasesText(newest)}${count}`);
}

function row(name: string, text: string, indent = "  "): string {
  return `${indent}  ${name.padEnd(15)}${text}`;
}

/** The newest drill, and the newest measured loss, which may come from an older drill. */
function drillJson({ drill, rpoDrill }: RepoStatus): JsonValue {
  if (drill === null) return null;
  const { backup, endedAtS, id, level, ok, opened, pick, rtoMs } = drill;
  const rpo = rpoDrill?.rpo ?? null;
  const lost: JsonValue =
    rpo === null ? null : { ended: rpoDrill?.endedAtS ?? endedAtS, method: rpo.method, seconds: rpo.seconds };
  const how = opened === undefined ? {} : { opened: true };
  return { ended: endedAtS, id, label: backup?.label ?? null, level, ok, ...how, pick, rpo: lost, rtoMs };
}

/**
 * `{"version":1,"stanza","ok","repos":[…],"troubles","waiting","running","next"}`, and `slot` where one archives; times
 * are seconds since 1970.
 */
export function statusJson(report: StatusReport): JsonValue {
  const { host, proof, repos, running, slot, stanza, synchronous, waiting } = report;
  const stored = (at: StoredFull | null): JsonValue => (at === null ? null : { label: at.label, stop: at.stoppedAtS });
  return {
    next:
      host.next === null
        ? null
        : host.next.map(({ lastAtS, name, nextAtS }): JsonValue => ({ last: lastAtS, name, next: nextAtS })),
    notLookedAt: [...host.notLookedAt],
    ok: isWell(report),
    repos: repos.map((repo): JsonValue => {
      return {
        backups: repo.backupCount,
        conflicts: [...repo.conflicts],
        drill: drillJson(repo),
        dropped: repo.droppedCount,
        ...dumpsField(repo.dumps),
        ...(repo.earlier.length === 0
          ? {}
          : {
              earlier: repo.earlier.map(
                ({ backupCount, fromS, toS, version }): JsonValue => ({
                  backups: backupCount,
                  from: fromS,
                  to: toS,
                  version,
                }),
              ),
            }),
        full: stored(repo.newestFull),
        ...(repo.held.length === 0
          ? {}
          : {
              held: repo.held.map(({ hold, label }): JsonValue => ({ label, reason: hold.reason, until: hold.untilS })),
            }),
        key: repo.key,
        newest:
          repo.newest === null
            ? null
            : { label: repo.newest.label, stop: repo.newest.stoppedAtS, type: repo.newest.type },
        lookedFrom: repo.lookedFrom,
        missingWal: repo.missingWalCount,
        location: repo.location,
        recoverableFrom: repo.recoverableFromS,
        stream:
          repo.stream === null ? null : { at: repo.stream.atS, behind: repo.streamBehindBytes, lsn: repo.stream.lsn },
        troubles: troublesJson(repo.troubles),
        verified: repo.verified === null ? null : { ended: repo.verified.endedAtS, ok: repo.verified.ok },
        wal: repo.newestWal === null ? null : { name: repo.newestWal.name, stored: repo.newestWal.storedAtS },
      };
    }),
    opened: report.opened.map(openedJson),
    proof: proof === null ? null : { ended: proof.endedAtS, id: proof.id, repo: proof.repo },
    running: running.map(({ percent, what }): JsonValue => ({ percent, what })),
    ...(slot === null ? {} : { slot: slotJson(slot, report.nowS) }),
    stanza,
    ...(synchronous === null ? {} : { synchronous: { trouble: synchronous.trouble, waiting: synchronous.isWaiting } }),
    troubles: troublesJson(report.troubles),
    version: 1,
    waiting: waiting === null ? null : { files: waiting.count, oldest: waiting.oldestAtS },
  };
}

function slotJson(slot: SlotReport, nowS: number): JsonValue {
  return { active: isRead(slot, nowS), name: slot.slot, retained: slot.retainedBytes, safe: slot.safeBytes };
}

function troublesJson(troubles: readonly Trouble[]): JsonValue {
  return troubles.map(
    ({ code, hints, message, name }): JsonValue => ({ code, error: name, hints: [...hints], message }),
  );
}
