/**
 * The files of a repository's lease: names and contents. The protocol is in repository/lease.ts.
 *
 * ```
 * pgbackstop/<stanza>/lease/00000042.json            one term, where the storage creates a file exclusively
 * pgbackstop/<stanza>/lease/00000042-<token>.json    one claim of a term, where it does not
 * pgbackstop/<stanza>/lease/floor.json               {"version":1,"floor":34}: every term up to this one was used
 * ```
 * The lease for logical dumps has the same files in `dump-lease`.
 */
import { isFields } from "../../base/declaredTypes";
import { sha1Hex } from "../../base/hash";
import { type JsonValue, renderJson, tryParseJson } from "./json";

/** The holder of a lease, for messages only. */
export interface LeaseHolder {
  readonly host: string;
  readonly pid: number;
  /** `backup` */
  readonly verb: string;
}

export interface LeaseTerm {
  readonly term: number;
  /** 128 random bits, hexadecimal: unique to a holder. */
  readonly token: string;
  /** Processes of one domain share lock files: a process that holds those knows that the previous holder is dead. */
  readonly domain: string;
  readonly holder: LeaseHolder;
  /** Increases while the holder lives. Readers compare whole files: {@link leaseMark}. */
  readonly renewals: number;
  readonly state: "held" | "released";
}

export interface LeaseName {
  readonly term: number;
  /** Null for a file that was created exclusively. */
  readonly token: string | null;
}

export const LEASE_TERM_MAX = 99_999_999;
const VERSION = 1;
const NAME = /^(\d{8})(?:-([0-9a-f]{32}))?\.json$/;
const LEFTOVER = /^(\d{8})[-.]/;
const TEXT_LENGTH_MAX = 200;

/** @param root the lease's directory */
export function leaseTermPath(root: string, { term, token }: LeaseName): string {
  return `${root}/${leaseTermPrefix(term)}${token === null ? "" : `-${token}`}.json`;
}

/** Prefix of all file names of a term. */
export function leaseTermPrefix(term: number): string {
  return String(term).padStart(8, "0");
}

export function leaseFloorPath(root: string): string {
  return `${root}/floor.json`;
}

/** Null for any other file. */
export function parseLeaseName(name: string): LeaseName | null {
  const [, digits, token] = NAME.exec(name) ?? [];
  if (digits === undefined || Number(digits) === 0) return null;
  return { term: Number(digits), token: token ?? null };
}

/** The term of a file, including a dead writer's temporary file; null if absent. */
export function leaseTermOf(name: string): number | null {
  const digits = LEFTOVER.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}

export function renderLeaseTerm({ term, token, domain, holder, renewals, state }: LeaseTerm): string {
  const { host, pid, verb } = holder;
  return `${renderJson({ version: VERSION, term, token, domain, holder: { host, pid, verb }, renewals, state })}\n`;
}

/** Null for an unreadable file: truncated, or of a later version. */
export function parseLeaseTerm(text: string): LeaseTerm | null {
  const value = tryParseJson(text.trimEnd());
  if (!isFields(value) || value["version"] !== VERSION) return null;
  const { term, token, domain, holder, renewals, state } = value;
  if (!isCount(term) || typeof token !== "string" || typeof domain !== "string") return null;
  if (state !== "held" && state !== "released") return null;
  return { term, token, domain, holder: holderOf(holder), renewals: isCount(renewals) ? renewals : 0, state };
}

export function renderLeaseFloor(floor: number): string {
  return `${renderJson({ version: VERSION, floor })}\n`;
}

/** 0 for an unreadable file. */
export function parseLeaseFloor(text: string): number {
  const value = tryParseJson(text);
  return isFields(value) && value["version"] === VERSION && isCount(value["floor"])
    ? Math.min(value["floor"], LEASE_TERM_MAX)
    : 0;
}

/** Equal as long as the file is not rewritten, readable or not. */
export function leaseMark(bytes: Uint8Array): string {
  return sha1Hex(bytes);
}

/** Any writer of the repository chooses these texts, and a terminal shows them. */
function holderOf(value: JsonValue | undefined): LeaseHolder {
  if (!isFields(value)) return { host: "?", pid: 0, verb: "?" };
  const { host, pid, verb } = value;
  return { host: shown(host), pid: isCount(pid) ? pid : 0, verb: shown(verb) };
}

function shown(value: JsonValue | undefined): string {
  return typeof value === "string" ? value.replace(/[^\x20-\x7e]/g, "?").slice(0, TEXT_LENGTH_MAX) : "?";
}

function isCount(value: JsonValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
