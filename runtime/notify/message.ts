/** A notification's text and fields, the same for every target. Pure. */
import { nameOfCode } from "../base/errors";
import type { UnitFacts } from "../local/systemdUnit";
import type { NotifyEvent } from "./events";

export interface Notification {
  readonly event: NotifyEvent;
  readonly ok: boolean;
  readonly stanza: string;
  readonly host: string;
  /** Empty when the caller named none. */
  readonly unit: string;
  readonly facts: UnitFacts | null;
  readonly title: string;
  /** Without secrets and log lines, which may contain anything. */
  readonly lines: readonly string[];
  readonly atMs: number;
  /** Key of the drilled repository; null for other events, and without a record. */
  readonly repo: number | null;
}

export interface NotificationInput extends Omit<Notification, "lines" | "ok" | "repo" | "title"> {
  /** Lines that say where to look; by default a host's: its journal, and `pgbackstop status`. */
  readonly whereToLook?: readonly string[];
  /** With event `stale`: a line for each backup or WAL that is too old; empty when all are recent again. */
  readonly stale?: readonly string[];
  /** Whether the drill passed, and its findings. */
  readonly drill: (Pick<Notification, "lines" | "ok" | "title"> & { readonly repo: number }) | null;
}

export function notificationOf(input: NotificationInput): Notification {
  const { drill, event, facts, host, stale = [], stanza, unit } = input;
  const what = unit === "" ? "pgbackstop" : unit;
  const base = {
    event,
    stanza,
    host,
    unit,
    facts,
    atMs: input.atMs,
    repo: event === "drill" ? (drill?.repo ?? null) : null,
  };
  switch (event) {
    case "failure":
      return { ...base, ok: false, title: `${what} failed on ${host}`, lines: failureLines(input) };
    case "drill":
      if (drill === null)
        return {
          ...base,
          ok: false,
          title: `fire drill on ${host}: no record`,
          lines: [`stanza: ${stanza}`, ...failureLines(input)],
        };
      return {
        ...base,
        ok: drill.ok,
        title: `${drill.title} on ${host}`,
        lines: [`stanza: ${stanza}`, ...drill.lines],
      };
    case "stale": {
      const ok = stale.length === 0;
      const title = `backups of ${stanza} on ${host} are ${ok ? "recent again" : "too old"}`;
      return { ...base, ok, title, lines: [`stanza: ${stanza}`, ...stale, ...whereToLook(input)] };
    }
    case "start":
      return { ...base, ok: true, title: `${what} has started on ${host}`, lines: [`stanza: ${stanza}`] };
    case "success":
      return { ...base, ok: true, title: `${what} has succeeded on ${host}`, lines: [`stanza: ${stanza}`] };
    case "test":
      return {
        ...base,
        ok: true,
        title: `test message of pgbackstop on ${host}`,
        lines: [`stanza: ${stanza}`, "notifications of failures will arrive like this one"],
      };
  }
}

/** Says where the log is; its lines may contain secrets. */
function failureLines(input: NotificationInput): string[] {
  const { facts, stanza } = input;
  const code = facts === null || !/^\d+$/.test(facts.status) ? null : Number(facts.status);
  const name = code === null ? null : nameOfCode(code);
  const status =
    facts === null || facts.status === "" ? "" : `, status ${facts.status}${name === null ? "" : ` (${name})`}`;
  return [`stanza: ${stanza}`, ...(facts === null ? [] : [`result: ${facts.result}${status}`]), ...whereToLook(input)];
}

function whereToLook({ facts, stanza, unit, whereToLook: given }: NotificationInput): readonly string[] {
  if (given !== undefined) return given;
  const only = facts === null || facts.invocationId === "" ? "" : ` _SYSTEMD_INVOCATION_ID=${facts.invocationId}`;
  return [
    ...(unit === "" ? [] : [`log: journalctl${only === "" ? ` -u ${unit}` : only}`]),
    `state: pgbackstop status --stanza=${stanza}`,
  ];
}
