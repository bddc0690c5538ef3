/**
 * archive.info: the PostgreSQL clusters of a stanza's WAL archive, and the archive's passphrase.
 *
 * `[db:history]` stores the system identifier under the key `db-id`, a historic slip of the format; in `[db]` `db-id`
 * is the history id. Errors: format (29), checksum (26). (pgBackRest 2.60 "info/infoArchive", "info/infoPg".)
 */
import { assert, fail } from "../../base/errors";
import { given } from "../../base/given";
import { Fields, Sections, sectionEntries } from "./fields";
import { headEntries, type InfoEntry, mergeEntries, parseInfo, renderInfo } from "./infoFile";
import { renderObject, renderString } from "./json";
import { checkPgVersion } from "./manifestNames";

export interface ArchiveHistoryEntry {
  /** Counts from 1. */
  readonly id: number;
  readonly systemId: bigint;
  /** "9.6", "10" … "19". */
  readonly pgVersion: string;
}

export interface ArchiveInfo {
  /** The version that last wrote the file. */
  readonly backrestVersion: string;
  /** Passphrase of all archive files; only in encrypted repositories. */
  readonly cipherPass?: string;
  readonly currentId: number;
  /** Ascending by id. */
  readonly history: readonly ArchiveHistoryEntry[];
  /** Unknown keys and sections, preserved on writing. */
  readonly other: readonly InfoEntry[];
}

const HEAD_KEYS = new Set(["backrest-format", "backrest-version"]);
const CIPHER_KEYS = new Set(["cipher-pass"]);
const DB_KEYS = new Set(["db-id", "db-system-id", "db-version"]);

/** @throws format, checksum */
export function parseArchiveInfo(text: string, name: string): ArchiveInfo {
  const sections = new Sections(parseInfo(text, name), name);
  const head = parseHead(sections, DB_KEYS);
  const history = parseHistory(sections, name, head.currentId, (fields) => ({
    systemId: fields.bigint("db-id"),
    pgVersion: fields.text("db-version"),
  }));
  return { ...head, history, other: sections.other() };
}

/** What archive.info and backup.info have in common. @param dbKeys those of `[db]` */
export function parseHead(
  sections: Sections,
  dbKeys: ReadonlySet<string>,
): Pick<ArchiveInfo, "backrestVersion" | "cipherPass" | "currentId"> {
  return {
    backrestVersion: sections.fields("backrest", HEAD_KEYS).text("backrest-version"),
    ...given({ cipherPass: sections.fields("cipher", CIPHER_KEYS).findText("cipher-pass") }),
    currentId: sections.fields("db", dbKeys).integer("db-id"),
  };
}

/** Ascending by id. @throws format, also when the current id is not in the history */
export function parseHistory<T extends { readonly pgVersion: string }>(
  sections: Sections,
  name: string,
  currentId: number,
  read: (fields: Fields) => T,
): (T & { readonly id: number })[] {
  const history = sections
    .rows("db:history")
    .map((entry) => ({ ...read(Fields.ofRow(entry, name)), id: parseHistoryId(entry.key, name) }));
  history.sort((a, b) => a.id - b.id);
  for (const entry of history) checkPgVersion(entry.pgVersion, name);
  if (history.some((entry) => entry.id === currentId)) return history;
  const ids = history.map((entry) => entry.id).join(", ");
  throw fail(
    "format",
    `'${name}': current history id is ${currentId} but the history holds ${ids === "" ? "nothing" : ids}`,
  );
}

export function renderArchiveInfo(info: ArchiveInfo): string {
  const current = currentHistory(info);
  const entries: InfoEntry[] = [
    ...headEntries(info.backrestVersion),
    ...cipherEntries(info),
    ...sectionEntries("db", [
      ["db-id", String(current.id)],
      ["db-system-id", String(current.systemId)],
      ["db-version", renderString(current.pgVersion)],
    ]),
    ...info.history.map((entry) => ({
      section: "db:history",
      key: String(entry.id),
      valueText: renderObject([
        ["db-id", entry.systemId],
        ["db-version", entry.pgVersion],
      ]),
    })),
  ];
  return renderInfo(mergeEntries(entries, info.other));
}

export function cipherEntries({ cipherPass }: Pick<ArchiveInfo, "cipherPass">): InfoEntry[] {
  return sectionEntries("cipher", [["cipher-pass", cipherPass === undefined ? undefined : renderString(cipherPass)]]);
}

/** Name of the directory below `archive/<stanza>` with an entry's WAL, such as `15-1`. */
export function archiveIdOf(entry: { readonly id: number; readonly pgVersion: string }): string {
  return `${entry.pgVersion}-${entry.id}`;
}

/** The current history entry of archive.info or backup.info. */
export function currentHistory<T extends { readonly id: number }>(info: {
  readonly currentId: number;
  readonly history: readonly T[];
}): T {
  const entry = info.history.find((candidate) => candidate.id === info.currentId);
  assert(entry !== undefined, `history id ${info.currentId} is not in the history`);
  return entry;
}

/** The key of a `[db:history]` row. @throws format */
function parseHistoryId(key: string, name: string): number {
  if (!/^[1-9]\d{0,8}$/.test(key))
    throw fail("format", `'${name}' section 'db:history': expected a number above 0 but found key '${key}'`);
  return Number(key);
}
