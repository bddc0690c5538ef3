/**
 * The content of each repository of a host, as an output of the host: the proof that backups arrived. The runtime reads
 * it from the repositories (`info --detail-level=destinations`); here times become readable. Pure.
 */
import { createHash } from "node:crypto";
import { isFields } from "../plan/model/anyValue";

export interface Destination {
  /** `repo1` */
  readonly repository: string;
  /** The stanza's; omitted if there is no stanza. */
  readonly cluster?: { readonly systemId: string; readonly version: string };
  readonly newestFull: { readonly label: string; readonly stoppedAt: string } | null;
  readonly newestWal: { readonly name: string; readonly storedAt: string } | null;
  /** Why it is unreadable; then the others are null. */
  readonly error?: string;
}

/** Parses the runtime's JSON; several stanzas are an error. @throws Error for any other document */
export function parseDestinations(document: unknown): Destination[] {
  const [stanza, ...others] = listOf(document);
  // Must not mean "nothing is missing".
  if (stanza === undefined) throw new Error("unable to read the repositories: info printed no stanza");
  if (others.length > 0) throw new Error("unable to read the repositories: info printed several stanzas");
  return listOf(isFields(stanza) ? stanza["repo"] : []).map((row): Destination => {
    if (!isFields(row) || typeof row["key"] !== "number")
      throw new Error("unable to read the repositories: info did not print a list of them");
    const repository = `repo${row["key"]}`;
    const { db, error, full, wal } = row;
    if (typeof error === "string") return { repository, newestFull: null, newestWal: null, error };
    return {
      repository,
      ...(isFields(db) ? { cluster: { systemId: String(db["system-id"]), version: String(db["version"]) } } : {}),
      newestFull: isFields(full) ? { label: String(full["label"]), stoppedAt: timeOf(full["stop"]) } : null,
      newestWal: isFields(wal) ? { name: String(wal["name"]), storedAt: timeOf(wal["stored"]) } : null,
    };
  });
}

/** The output's JSON text. */
export function renderDestinations(destinations: readonly Destination[]): string {
  return JSON.stringify(destinations);
}

/** Names in the output's JSON text; empty if nobody has read them. */
export function repositoriesIn(text: string | undefined): string[] {
  if (text === undefined || text === "") return [];
  return (JSON.parse(text) as Destination[]).map(({ repository }) => repository);
}

/** The rows about repositories that `known` names too; all of them if it names none. */
export function withoutNew(text: string, known: string): string {
  const names = repositoriesIn(known);
  if (text === "" || names.length === 0) return text;
  return renderDestinations((JSON.parse(text) as Destination[]).filter(({ repository }) => names.includes(repository)));
}

const LOCATION_LINE =
  /^(repo\d+)-(?:type|path|host|(?:azure|gcs|s3|sftp|storage)-(?:account|bucket|container|endpoint|host|port|host-port|host-user))=.*$/gm;
const DIGEST_DIGITS = 16;

/** A digest of each repository's location in a text of pgbackrest.conf, which has no secret. */
export function locationsIn(conf: string): Record<string, string> {
  const lines = [...conf.matchAll(LOCATION_LINE)];
  const digestOf = (repository: string): string =>
    createHash("sha256")
      .update(
        lines
          .flatMap(([line, name]) => (name === repository ? [line] : []))
          .sort()
          .join("\n"),
      )
      .digest("hex")
      .slice(0, DIGEST_DIGITS);
  return Object.fromEntries(lines.map(([, name = ""]) => [name, digestOf(name)]));
}

/** `known` as an update begins: locations that it changes are no longer those of any update that ended. */
export function withoutMoved(
  known: Readonly<Record<string, string>>,
  declared: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(known).map(([name, digest]) => [name, isMoved(name, known, declared) ? "" : digest]),
  );
}

/** Locations after an update that was killed: it may have sent WAL elsewhere. */
export function withoutCertain(known: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.keys(known).map((name) => [name, ""]));
}

/** False for one whose location is not known: an earlier version recorded none. */
export function isMoved(
  name: string,
  known: Readonly<Record<string, string>>,
  declared: Readonly<Record<string, string>>,
): boolean {
  return known[name] !== undefined && declared[name] !== undefined && known[name] !== declared[name];
}

/** Keys of readable repositories without a full backup; empty if nobody has read them. */
export function lackingFull(text: string | undefined): number[] {
  if (text === undefined || text === "") return [];
  return (JSON.parse(text) as Destination[])
    .filter(({ error, newestFull }) => error === undefined && newestFull === null)
    .map(({ repository }) => indexOf(repository));
}

/** 2 for `repo2`. */
export function indexOf(repository: string): number {
  return Number(repository.slice("repo".length));
}

/** One line for each repository: `repo2: newest full backup 20251217-034103F of 2025-12-17T03:45:10Z, …`. */
export function destinationText({ repository, newestFull, newestWal, error }: Destination): string {
  if (error !== undefined) return `${repository}: cannot be read: ${error}`;
  const full =
    newestFull === null ? "NO FULL BACKUP" : `newest full backup ${newestFull.label} of ${newestFull.stoppedAt}`;
  const wal = newestWal === null ? "no WAL" : `newest WAL ${newestWal.name} of ${newestWal.storedAt}`;
  return `${repository}: ${full}, ${wal}`;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function timeOf(seconds: unknown): string {
  return new Date(Number(seconds) * 1000).toISOString().replace(".000Z", "Z");
}
