/**
 * PostgreSQL's `synchronous_standby_names` with and without our receiver (PostgreSQL "replication", grammar in
 * replication/syncrep_gram.y). Pure.
 *
 * A commit must wait for the receiver **and** for every standby that it waited for before. One setting can say this
 * only when each listed standby is required. `ANY 1 (a, b)` plus a required third cannot be said: a and b alone would
 * fulfil `ANY 2 (pgbackstop, a, b)`.
 */
import { type BackupError, fail } from "../../base/errors";

/** Application name of a synchronous receiver. PostgreSQL compares without regard to case. */
export const RECEIVER_NAME = "pgbackstop";

interface StandbyNames {
  readonly method: "FIRST" | "ANY";
  readonly count: number;
  readonly names: readonly string[];
}

const LIST = /^\s*(?:(?:(FIRST|ANY)\s+)?(\d+)\s*\(([^()]*)\)|(.*))\s*$/is;
const NAME = /\s*(?:"((?:[^"]|"")*)"|([^\s,"()]+))\s*(,|$)/gsy;
const PLAIN = /^[a-z_][a-z0-9_]*$/;

/** True when no commit is acknowledged without the receiver. */
export function isReceiverRequired(value: string): boolean {
  const parsed = parse(value);
  return parsed !== null && parsed.names.some(isReceiver) && parsed.count >= parsed.names.length;
}

export function namesReceiver(value: string): boolean {
  return parse(value)?.names.some(isReceiver) === true;
}

/** The value that waits for the receiver too. @throws featureNotSupported when one value cannot say that */
export function withReceiver(value: string): string {
  if (isReceiverRequired(value)) return value;
  const parsed = parse(withoutReceiver(value));
  if (parsed === null) return RECEIVER_NAME;
  const { count, method, names } = parsed;
  if (names.includes("*") || count < names.length) throw notAll(value, names.length);
  return render({ method, count: count + 1, names: [RECEIVER_NAME, ...names] });
}

/** The value that waits for the others only; empty without others. */
export function withoutReceiver(value: string): string {
  const parsed = parse(value);
  if (parsed === null || !parsed.names.some(isReceiver)) return value;
  const names = parsed.names.filter((name) => !isReceiver(name));
  // With every name required, one less is; otherwise the same number of the rest.
  const count = parsed.count >= parsed.names.length ? names.length : parsed.count;
  return names.length === 0 ? "" : render({ ...parsed, count: Math.min(count, names.length), names });
}

/** Null for an empty value, and for one that PostgreSQL would refuse. */
function parse(value: string): StandbyNames | null {
  const match = LIST.exec(value);
  if (match === null || value.trim() === "") return null;
  const [, method, count, inner, plain] = match;
  const names: string[] = [];
  const list = inner ?? plain ?? "";
  NAME.lastIndex = 0;
  for (let next = NAME.exec(list); next !== null; next = NAME.exec(list)) {
    names.push(next[1]?.replaceAll('""', '"') ?? next[2] ?? "");
    if (next[3] === "") break;
  }
  if (names.length === 0) return null;
  return { method: method?.toUpperCase() === "ANY" ? "ANY" : "FIRST", count: Number(count ?? 1), names };
}

function render({ count, method, names }: StandbyNames): string {
  const quoted = names.map((name) =>
    PLAIN.test(name) && name !== "any" && name !== "first" ? name : `"${name.replaceAll('"', '""')}"`,
  );
  return `${method} ${count} (${quoted.join(", ")})`;
}

function isReceiver(name: string): boolean {
  return name.toLowerCase() === RECEIVER_NAME;
}

function notAll(value: string, listed: number): BackupError {
  return fail("featureNotSupported", `synchronous_standby_names = '${value}' does not require every listed standby`, {
    hint:
      `PostgreSQL cannot wait for ${RECEIVER_NAME} and for some of ${listed} standbys at the same time. ` +
      "List only standbys that every commit must reach, for instance FIRST 1 (s1), or leave synchronous out.",
  });
}
