/**
 * What keeps a host from backing up although its repositories look well: units that systemd does not run, or does not
 * run as the update wrote them, and a server that is down or archives elsewhere. Pure.
 */
import { timeText } from "../../base/clock";
import { type BackupError, fail } from "../../base/errors";
import { printableValue } from "../../base/printable";
import { durationText } from "../../base/units";
import { baseOf, type StanzaUnit } from "../../local/stanzaUnits";
import type { ServerState } from "./serverState";

const DAY_S = 86_400;
/** A moved timer may be later by this; no declared schedule of backups has a longer interval. */
const MOVED_S_MAX = 40 * DAY_S;
/** A drill may run once a year. */
const NEXT_S_MAX = 5 * 365 * DAY_S;
/** A killed agent is down for a second. */
const RESTARTS_MAX = 3;
/** Services that run all the time. A boot starts an agent only if it streams or reads a slot. */
const PERMANENT = /-(agent|degrade)\.service$/;
/** Services without a timer; NixOS makes the stanza by one. */
const UNTIMED = /-(agent|degrade|stanza)\.service$/;

export interface HostState {
  /** Null if systemd does not run here, or tells this account nothing. */
  readonly units: readonly StanzaUnit[] | null;
  /** Expected ages of the newest full backups, one for each repository that has one. */
  readonly fullWithinS: readonly number[];
  /** Null if the host has none, or nobody asks; a text says why nobody could look. */
  readonly server: ServerState | string | null;
  /** When this host last took a backup; null if it never did, or nobody asks. */
  readonly backedUpAtS: number | null;
  readonly nowS: number;
}

export interface HostReport {
  readonly troubles: readonly BackupError[];
  /** What this run could not look at: `units: …`. */
  readonly notLookedAt: readonly string[];
}

export function hostReport(state: HostState): HostReport {
  const { server, units } = state;
  const isKnown = server !== null && typeof server !== "string";
  const silence = isKnown ? server.silence : server;
  return {
    troubles: [
      ...(isKnown ? serverTroubles(server, state) : []),
      ...(units === null ? [] : unitTroubles(units, state)),
    ],
    notLookedAt: [
      ...(silence === null ? [] : [`server: ${printableValue(silence)}`]),
      ...(units === null ? ["units: no systemd (248 or newer) answers for this stanza"] : []),
      ...(units?.length === 0 ? ["units: systemd has none of this stanza"] : []),
    ],
  };
}

function serverTroubles(server: ServerState, { backedUpAtS, nowS, units }: HostState): BackupError[] {
  const { archiving, dataDirectory, hasCluster, isUp, recovery, seenAtS, unit } = server;
  if (isUp) return archiving === null ? [] : [archiving];
  if (!hasCluster && recovery === null) {
    // A host that only restores or drills has none yet.
    const isBackedUp = units?.some(({ commands }) => commands.some((command) => / backup( |$)/.test(command))) ?? false;
    const hint = "pgbackstop recover restores it. Is its file system mounted?";
    const since = backedUpAtS === null ? "" : `: this host backed one up at ${timeText(backedUpAtS)}`;
    const fact = `there is no cluster in '${dataDirectory}'${since}`;
    return isBackedUp || backedUpAtS !== null ? [fail("pathMissing", fact, { hint })] : [];
  }
  const since =
    seenAtS === null ? "" : `: not seen since ${timeText(seenAtS)} (${durationText(Math.max(0, nowS - seenAtS))} ago)`;
  const after = recovery === "unfinished" ? " after an unfinished recovery" : "";
  const again = "pgbackstop recover continues it, and pgbackstop recover --undo puts the old data back.";
  const hints = {
    unfinished: [again],
    foreign: [`Root or another account has recovered here. If that has not ended, as that account: ${again}`],
    none: [],
  }[recovery ?? "none"];
  const start = unit === null ? "Start it, and read its log if it does not stay." : `systemctl start ${unit}`;
  return [
    fail("dbConnect", `the server of '${dataDirectory}' is down${after}${since}`, {
      hint: recovery === "unfinished" ? hints : [...hints, start],
    }),
  ];
}

/** The error of a verb, with all troubles in it; null if nothing keeps the host from backing up. */
export function hostError(troubles: readonly BackupError[]): BackupError | null {
  const [first] = troubles;
  if (first === undefined || troubles.length === 1) return first ?? null;
  const hint = troubles.flatMap(({ hints }) => hints);
  return fail(first.kind, troubles.map(({ message }) => message).join("\n"), { hint });
}

function unitTroubles(units: readonly StanzaUnit[], { fullWithinS, nowS }: HostState): BackupError[] {
  const troubles = units.flatMap((unit) => {
    const first = programTrouble(unit) ?? stateTrouble(unit) ?? timerTrouble(unit, nowS);
    return first === null ? [] : [first];
  });
  const overdue = fullTrouble(units, fullWithinS, nowS);
  // Of a stopped or moved timer enough is said.
  const isSaid = overdue === null || troubles.some(({ message }) => message.startsWith(overdue.name));
  return [...missingTroubles(units), ...troubles, ...(isSaid ? [] : [overdue.trouble])];
}

/** Services whose timer or socket is no longer there. */
function missingTroubles(units: readonly StanzaUnit[]): BackupError[] {
  const names = new Set(units.map(({ name }) => name));
  return units.flatMap(({ name }) => {
    const starter = name.endsWith("-agent.service") ? "socket" : "timer";
    const missing = `${baseOf(name)}.${starter}`;
    if (!name.endsWith(".service") || names.has(missing)) return [];
    if (starter === "timer" && UNTIMED.test(name)) return [];
    return [trouble(missing, `is missing: ${effectOf(missing)}`, "The next update of the host (pulumi up) writes it.")];
  });
}

/** Null for a unit that systemd runs, or would run at its time. */
function stateTrouble(unit: StanzaUnit): BackupError | null {
  const { activeState, fileState, loadState, name, restartCount, result, subState } = unit;
  const isExpected = /\.(timer|socket)$/.test(name) || (PERMANENT.test(name) && /^(en|dis)abled$/.test(fileState));
  if (loadState === "masked")
    return trouble(name, `is masked: ${effectOf(name)}`, [
      `systemctl unmask ${name} && ${startLine(name)}`,
      "If systemd does not know it then, the next update of the host (pulumi up) writes its file.",
    ]);
  if (loadState !== "loaded")
    return trouble(name, `cannot be loaded (${loadState}): ${effectOf(name)}`, [
      `systemctl status ${name} says why.`,
      "The next update of the host (pulumi up) writes its file.",
    ]);
  if (subState === "auto-restart" && restartCount >= RESTARTS_MAX)
    return trouble(name, `was started ${restartCount} times and does not stay (${result}): ${effectOf(name)}`, [
      `journalctl -u ${name} says why.`,
    ]);
  if (!isExpected) return null;
  if (activeState === "failed")
    return trouble(name, `has failed (${result}): ${effectOf(name)}`, [
      `journalctl -u ${name} says why. After the repair: systemctl reset-failed ${name} && ${startLine(name)}`,
    ]);
  if (activeState === "inactive")
    return trouble(
      name,
      `is ${fileState === "disabled" ? "stopped and disabled" : "stopped"}: ${effectOf(name)}`,
      startLine(name),
    );
  if (fileState === "disabled")
    return trouble(name, "is disabled: the next boot does not start it", `systemctl enable ${name}`);
  return null;
}

/** systemd starts no socket while its service runs, and an agent that streams must not wait for a request. */
function startLine(name: string): string {
  const start = `systemctl enable --now ${name}`;
  const service = `${baseOf(name)}.service`;
  if (!name.endsWith(".socket")) return start;
  return `systemctl stop ${service} ${name}; ${start} && systemctl start ${service}`;
}

function effectOf(name: string): string {
  if (/-agent\.(socket|service)$/.test(name)) return "WAL of this host is not archived";
  return name.endsWith(".service") ? "systemd does not run it" : "systemd does not start its service";
}

function timerTrouble(timer: StanzaUnit, nowS: number): BackupError | null {
  const { dropIns, name, nextAtS, starts, subState } = timer;
  if (!name.endsWith(".timer")) return null;
  const service = `${baseOf(name)}.service`;
  const moving = pathsSetting(dropIns, /^\s*On[A-Za-z]+\s*=/m);
  if (starts !== "" && starts !== service) {
    const naming = pathsSetting(dropIns, /^\s*Unit\s*=/m);
    return trouble(name, `starts ${starts} instead of ${service}${because(naming)}`, undoOf(timer, naming));
  }
  // A timer has no next run while its service runs.
  if (nextAtS === null)
    return subState === "elapsed" ? trouble(name, `has no next run${because(moving)}`, undoOf(timer, moving)) : null;
  if (nextAtS - nowS <= (moving.length === 0 ? NEXT_S_MAX : MOVED_S_MAX)) return null;
  return trouble(name, `${nextText(nextAtS, nowS)}${because(moving)}`, undoOf(timer, moving));
}

/** The next full backup comes only after the newest one is older than any repository expects. */
function fullTrouble(
  units: readonly StanzaUnit[],
  limitsS: readonly number[],
  nowS: number,
): { readonly name: string; readonly trouble: BackupError } | null {
  const services = units.filter(({ commands }) => commands.some((command) => / --type=full( |$)/.test(command)));
  const timers = units.filter(({ name }) => services.some((service) => `${baseOf(service.name)}.timer` === name));
  const [first] = timers.toSorted((left, right) => (left.nextAtS ?? 0) - (right.nextAtS ?? 0));
  const limitS = Math.max(...limitsS);
  if (limitsS.length === 0 || first?.nextAtS == null || first.nextAtS - nowS <= limitS) return null;
  const moving = pathsSetting(first.dropIns, /^\s*On[A-Za-z]+\s*=/m);
  const fact = `${nextText(first.nextAtS, nowS)}; a full backup is expected every ${durationText(limitS)}`;
  return { name: first.name, trouble: trouble(first.name, `${fact}${because(moving)}`, undoOf(first, moving)) };
}

function nextText(nextAtS: number, nowS: number): string {
  return `runs next in ${durationText(nextAtS - nowS)}, at ${timeText(nextAtS)}`;
}

/** A service that runs another command line than its file has, or none of ours. */
function programTrouble(unit: StanzaUnit): BackupError | null {
  const { commands, dropIns, file, loadState, name } = unit;
  if (!name.endsWith(".service") || loadState !== "loaded" || file?.text == null) return null;
  const written = [...file.text.matchAll(/^ExecStart=(.+)$/gm)].map(([, line = ""]) => argumentsOf(line));
  // Some distributions keep the command in a drop-in of their own.
  if (written.length === 0) return null;
  const running = commands.map(argumentsOf);
  const isOurs = running.some((args) => args.some((argument) => /pgbackrest|pgbackstop|\/degrade-/.test(argument)));
  if (isOurs && written.some((args) => running.some((other) => isSameCommand(args, other)))) return null;
  const replacing = pathsSetting(dropIns, /^\s*ExecStart\s*=/m);
  const runs = running.length === 0 ? "nothing" : printableValue(running.map(([program]) => program).join(", "));
  const how = replacing.length === 0 ? `, as ${file.path} says` : because(replacing);
  return trouble(name, `runs ${runs} instead of its command${how}`, undoOf(unit, replacing));
}

/** Arguments without quotes and the prefixes of `ExecStart=`. */
function argumentsOf(line: string): string[] {
  return line
    .replaceAll(/["'\\]/g, "")
    .replace(/^[-@:+!|]+/, "")
    .split(/\s+/)
    .filter((argument) => argument !== "");
}

/** True for the written program with its plain arguments in order: an administrator may have added an option. */
function isSameCommand(written: readonly string[], running: readonly string[]): boolean {
  if (written[0] !== running[0]) return false;
  const plain = written.filter((argument) => /^[A-Za-z0-9_@+=:,./-]+$/.test(argument));
  let at = 0;
  for (const argument of running) if (argument === plain[at]) at++;
  return at === plain.length;
}

function pathsSetting(dropIns: StanzaUnit["dropIns"], setting: RegExp): string[] {
  return dropIns.flatMap(({ path, text }) => (text === null || setting.test(text) ? [path] : []));
}

function because(paths: readonly string[]): string {
  return paths.length === 0 ? "" : ` (${paths.join(", ")})`;
}

function undoOf({ name }: StanzaUnit, paths: readonly string[]): string {
  const restarts = name.endsWith(".timer") || PERMANENT.test(name);
  const apply = `systemctl daemon-reload${restarts ? ` && systemctl restart ${name}` : ""}`;
  return paths.length === 0
    ? "Declare the change in the program, or undo it: the next update of the host (pulumi up) writes the unit's file."
    : `rm ${paths.join(" ")} && ${apply}`;
}

function trouble(name: string, fact: string, hint: string | readonly string[]): BackupError {
  return fail(/-agent\.(socket|service)$/.test(name) ? "archiveDisabled" : "execute", `${name} ${fact}`, { hint });
}
