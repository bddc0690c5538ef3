/**
 * The row types of a manifest's `[target:*]` sections and their shared parts: owner, mode, and the default sections.
 * Errors: format (29). (pgBackRest 2.60 "info/manifest".)
 */
import { assert, fail } from "../../base/errors";
import type { JsonValue } from "./json";

/** Owner name; null for a numeric owner without name. */
export type OwnerName = string | null;

/** Block numbers with a wrong checksum, relation-wide; pairs are first and last of a range. */
export type PageErrors = readonly (number | readonly [number, number])[];

export interface ManifestFile {
  /** `pg_data/…` or `pg_tblspc/<oid>/…`. */
  readonly name: string;
  /** Bytes that were backed up. */
  readonly sizeBytes: number;
  /** Size at the time of the manifest, if it differs. */
  readonly sizeOriginalBytes?: number;
  readonly sizeRepoBytes: number;
  /** SHA-1 of the original content; "" before the copy. */
  readonly sha1: string;
  /** SHA-1 of the stored bytes; absent if they are the original ones. */
  readonly sha1Repo?: string;
  readonly modifiedAtS: number;
  readonly mode: number;
  readonly user: OwnerName;
  readonly group: OwnerName;
  /** Label of the backup with the data, if it is another one. */
  readonly reference?: string;
  readonly bundle?: { readonly id: number; readonly offsetBytes: number };
  readonly block?: { readonly sizeBytes: number; readonly checksumSizeBytes: number; readonly mapSizeBytes: number };
  /** Absent when the pages were not checked. */
  readonly checksumPage?: boolean;
  readonly pageErrors?: PageErrors;
}

/** A row to read values from, not to copy: `viewsOf` decodes each value when you read it. */
export type FileView = { readonly [K in keyof ManifestFile]: ManifestFile[K] | undefined } & Pick<
  ManifestFile,
  "name" | "sizeBytes" | "sizeRepoBytes" | "sha1" | "modifiedAtS" | "mode" | "user" | "group"
>;

/** The files of a manifest, like an array of them; `FileRows` makes a new row for each access. */
export interface FileList extends Iterable<ManifestFile> {
  readonly length: number;
  at(index: number): ManifestFile | undefined;
  filter(isWanted: (file: ManifestFile) => boolean): ManifestFile[];
  find(isWanted: (file: ManifestFile) => boolean): ManifestFile | undefined;
  some(isWanted: (file: ManifestFile) => boolean): boolean;
  map<T>(resultOf: (file: ManifestFile) => T): T[];
  reduce<T>(join: (result: T, file: ManifestFile) => T, first: T): T;
}

export interface ManifestTarget {
  /** `pg_data`, `pg_tblspc/<oid>`, or `pg_data/<path>` for another link. */
  readonly name: string;
  readonly type: "path" | "link";
  /** The data directory, or the target of a link; for a link to a file that file's directory. */
  readonly path: string;
  /** Base name of a linked file. */
  readonly file?: string;
  readonly tablespaceId?: string;
  readonly tablespaceName?: string;
}

export interface ManifestPath {
  readonly name: string;
  readonly mode: number;
  readonly user: OwnerName;
  readonly group: OwnerName;
}

export interface ManifestLink {
  readonly name: string;
  readonly destination: string;
  readonly user: OwnerName;
  readonly group: OwnerName;
}

/** Values that rows need not repeat; a row contains every field that is absent here. */
export interface RowDefaults {
  readonly user?: OwnerName;
  readonly group?: OwnerName;
  readonly mode?: number;
}

export const NO_OWNER = "no owner in the row nor in the defaults";

/** `"0600"` as a number. @throws format */
export function parseMode(text: string, where: string): number {
  if (!/^[0-7]{4}$/.test(text))
    throw fail("format", `${where}: expected a mode of four octal digits but found '${text}'`);
  return Number.parseInt(text, 8);
}

/** @throws format without one in the section. */
export function defaultMode(defaults: RowDefaults, where: string): number {
  if (defaults.mode === undefined) throw fail("format", `${where}: no mode in the row nor in the defaults`);
  return defaults.mode;
}

/** A `user` or `group` value: a name or false. Undefined when absent. @throws format */
export function parseOwnerName(value: JsonValue | undefined, where: string): OwnerName | undefined {
  if (value === undefined || typeof value === "string") return value;
  if (value === false) return null;
  throw fail("format", `${where}: expected a name or false as owner`);
}

/** A row's fields that differ from its default section, in file order: group, mode, user. */
export function rowDifferences(
  row: { user: OwnerName; group: OwnerName; mode?: number },
  defaults: RowDefaults,
): [string, JsonValue][] {
  const fields: [string, JsonValue][] = [];
  if (row.group !== defaults.group) fields.push(["group", row.group ?? false]);
  if (row.mode !== undefined && row.mode !== defaults.mode) fields.push(["mode", renderMode(row.mode)]);
  if (row.user !== defaults.user) fields.push(["user", row.user ?? false]);
  return fields;
}

/** Four octal digits. */
export function renderMode(mode: number): string {
  assert(Number.isInteger(mode) && mode >= 0 && mode <= 0o7777, `mode ${mode} has bits beyond 07777`);
  return mode.toString(8).padStart(4, "0");
}

/** A row's owner, completed with the defaults. @throws format */
export function parseOwner(
  row: { readonly user: JsonValue | undefined; readonly group: JsonValue | undefined },
  defaults: RowDefaults,
  where: string,
): { user: OwnerName; group: OwnerName } {
  const user = row.user === undefined ? defaults.user : parseOwnerName(row.user, where);
  const group = row.group === undefined ? defaults.group : parseOwnerName(row.group, where);
  if (user === undefined || group === undefined) throw fail("format", `${where}: ${NO_OWNER}`);
  return { user, group };
}
