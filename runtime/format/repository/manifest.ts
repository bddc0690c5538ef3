/**
 * backup.manifest: everything about one backup, with one row for each file, directory and link.
 *
 * Rows omit values that equal a default section or can be derived (equal sizes, the checksum of an empty file); in
 * memory every field is present. Rendering sorts the rows, so their order in memory does not matter. An unfinished
 * backup's manifest has no stop values, and files without checksums. Modes are numbers (0o600). Errors: format (29),
 * checksum (26). (pgBackRest 2.60 "info/manifest".)
 */
import { type ByteStream, compareBytes, type TextPart, textOf, wholeLines, wholeText } from "../../base/bytes";
import { assert, fail } from "../../base/errors";
import { given } from "../../base/given";
import { SHA1_EMPTY } from "../../base/hash";
import { type CompressType, isCompressType } from "../codec/compress";
import { Fields, parseAnnotations, Sections, sectionEntries } from "./fields";
import {
  headEntries,
  type InfoEntry,
  InfoReader,
  mergeEntries,
  type ParsedEntry,
  renderInfoBytes,
  renderInfoParts,
} from "./infoFile";
import { type JsonValue, renderObject, renderString } from "./json";
import type { BackupType } from "./label";
import { FileRows, sortedViews, viewsOf } from "./fileRows";
import { FileRowReader, parseFileRow, renderFileRow } from "./manifestFile";
import { checkBackupNames, checkNames } from "./manifestNames";
import {
  defaultMode,
  type FileList,
  type ManifestLink,
  type ManifestPath,
  type ManifestTarget,
  type OwnerName,
  parseMode,
  parseOwner,
  parseOwnerName,
  type RowDefaults,
  renderMode,
  rowDifferences,
} from "./manifestRows";

export type {
  FileList,
  FileView,
  ManifestFile,
  ManifestLink,
  ManifestPath,
  ManifestTarget,
  OwnerName,
  PageErrors,
  RowDefaults,
} from "./manifestRows";

export interface ManifestOptions {
  readonly archiveCheck: boolean;
  readonly archiveCopy: boolean;
  readonly backupStandby?: boolean;
  readonly bufferSizeBytes?: number;
  readonly checksumPage?: boolean;
  readonly compressLevel?: number;
  readonly compressLevelNetwork?: number;
  readonly compressType: CompressType;
  readonly delta?: boolean;
  readonly hardlink: boolean;
  readonly online: boolean;
  readonly processMax?: number;
}

export interface ManifestDatabase {
  readonly name: string;
  readonly id: number;
  readonly lastSystemId: number;
}

export interface ManifestDefaults {
  readonly file: RowDefaults;
  readonly path: RowDefaults;
  readonly link: RowDefaults;
}

export interface Manifest {
  readonly backrestVersion: string;
  readonly label: string;
  readonly type: BackupType;
  readonly prior?: string;
  /** All labels that hold data of this backup, in the order of block map indexes; the last one is its own. */
  readonly references: readonly string[];
  readonly lsnStart?: string;
  readonly lsnStop?: string;
  readonly archiveStart?: string;
  readonly archiveStop?: string;
  readonly startedAtS: number;
  readonly copyStartedAtS: number;
  /** 0 while the backup runs. */
  readonly stoppedAtS: number;
  readonly bundle: boolean;
  /** Bundled files are stored without the outer headers of compression and encryption. */
  readonly bundleRaw: boolean;
  readonly blockIncr: boolean;
  /** `id` is the history id, 0 while the backup runs. */
  readonly pg: {
    readonly id: number;
    readonly version: string;
    readonly systemId: bigint;
    readonly catalogVersion: number;
    readonly controlVersion: number;
  };
  readonly options: ManifestOptions;
  readonly targets: readonly ManifestTarget[];
  /** Passphrase of the data files; only in encrypted repositories. */
  readonly cipherPass?: string;
  readonly databases: readonly ManifestDatabase[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly files: FileList;
  readonly paths: readonly ManifestPath[];
  readonly links: readonly ManifestLink[];
  readonly defaults: ManifestDefaults;
  /** Unknown keys and sections, preserved on writing. */
  readonly other: readonly InfoEntry[];
}

const HEAD_KEYS = new Set(["backrest-format", "backrest-version"]);
const CIPHER_KEYS = new Set(["cipher-pass"]);
const METADATA_KEYS = new Set(["annotation"]);
const DEFAULT_KEYS = new Set(["group", "mode", "user"]);
const BACKUP_KEYS = new Set([
  "backup-archive-start",
  "backup-archive-stop",
  "backup-block-incr",
  "backup-bundle",
  "backup-bundle-raw",
  "backup-label",
  "backup-lsn-start",
  "backup-lsn-stop",
  "backup-prior",
  "backup-reference",
  "backup-timestamp-copy-start",
  "backup-timestamp-start",
  "backup-timestamp-stop",
  "backup-type",
]);
const DB_KEYS = new Set(["db-catalog-version", "db-control-version", "db-id", "db-system-id", "db-version"]);
const OPTION_KEYS = new Set([
  "option-archive-check",
  "option-archive-copy",
  "option-backup-standby",
  "option-buffer-size",
  "option-checksum-page",
  "option-compress",
  "option-compress-level",
  "option-compress-level-network",
  "option-compress-type",
  "option-delta",
  "option-hardlink",
  "option-online",
  "option-process-max",
]);

/** The defaults that stock derives from the data directory's row. */
export function defaultsOf(pgDataPath: Pick<ManifestPath, "mode" | "user" | "group">): ManifestDefaults {
  const { mode, user, group } = pgDataPath;
  return { file: { user, group, mode: mode & 0o640 }, path: { user, group, mode }, link: { user, group } };
}

/** @throws format, checksum */
export function parseManifest(text: string, name: string): Manifest {
  const reader = new ManifestReader(name);
  reader.add(wholeText(text));
  return reader.finish();
}

/**
 * Reads a manifest from a stream; memory holds one chunk of its text.
 * @throws format, checksum; fileInvalid beyond
 * `limitBytes`
 */
export async function readManifest(source: ByteStream, name: string, limitBytes: number): Promise<Manifest> {
  const reader = new ManifestReader(name);
  for await (const part of wholeLines(source, limitBytes)) reader.add(part);
  return reader.finish();
}

class ManifestReader {
  readonly #name: string;
  readonly #info: InfoReader;
  readonly #reader = new FileRowReader();
  /** In file order. */
  readonly #files = new FileRows();
  /** Keys are positions in `#files`. */
  readonly #unusual = new Map<number, ParsedEntry>();

  constructor(name: string) {
    this.#name = name;
    this.#info = new InfoReader(name, {
      section: "target:file",
      read: (key, part, begin, end) => {
        const row = this.#reader.read(key, part, begin, end);
        if (row !== null) this.#files.add(row);
        return row !== null;
      },
      readParsed: (entry) => {
        this.#unusual.set(this.#files.addDeferred(), entry);
      },
    });
  }

  /** Takes complete lines. @throws format */
  add(part: TextPart): void {
    this.#info.add(part);
  }

  /** @throws format, checksum */
  finish(): Manifest {
    const sections = new Sections(this.#info.finish(), this.#name);
    return parseSections(sections, (defaults) => this.#filesWith(defaults), this.#name);
  }

  /** Completes rows with the defaults, which follow them in the file. */
  #filesWith(defaults: RowDefaults): FileList {
    for (const [index, entry] of this.#unusual) this.#files.put(index, parseFileRow(entry, defaults, this.#name));
    this.#files.complete(defaults, this.#name);
    return this.#files;
  }
}

function parseSections(sections: Sections, filesWith: (defaults: RowDefaults) => FileList, name: string): Manifest {
  const backrestVersion = sections.fields("backrest", HEAD_KEYS).text("backrest-version");
  const defaultsIn = (section: string): RowDefaults =>
    parseDefaults(sections.fields(section, DEFAULT_KEYS), `'${name}' section '${section}'`);
  const defaults: ManifestDefaults = {
    file: defaultsIn("target:file:default"),
    path: defaultsIn("target:path:default"),
    link: defaultsIn("target:link:default"),
  };
  const files = filesWith(defaults.file);
  const cipherPass = sections.fields("cipher", CIPHER_KEYS).findText("cipher-pass");
  const annotation = sections.fields("metadata", METADATA_KEYS).find("annotation");
  const pg = sections.fields("backup:db", DB_KEYS);
  const manifest: Manifest = {
    backrestVersion,
    ...parseBackup(sections.fields("backup", BACKUP_KEYS), files, name),
    pg: {
      id: pg.integer("db-id"),
      version: pg.text("db-version"),
      systemId: pg.bigint("db-system-id"),
      catalogVersion: pg.integer("db-catalog-version"),
      controlVersion: pg.integer("db-control-version"),
    },
    options: parseOptions(sections.fields("backup:option", OPTION_KEYS), name),
    targets: sections.rows("backup:target").map((entry) => parseTarget(entry, name)),
    ...(cipherPass === undefined ? {} : { cipherPass }),
    databases: sections.rows("db").map((entry) => {
      const fields = Fields.ofRow(entry, name);
      return { name: entry.key, id: fields.integer("db-id"), lastSystemId: fields.integer("db-last-system-id") };
    }),
    annotations: annotation === undefined ? {} : parseAnnotations(annotation, `'${name}'`),
    files,
    paths: sections.rows("target:path").map((entry) => {
      const fields = Fields.ofRow(entry, name);
      const mode = fields.findText("mode");
      const where = `'${name}': path '${entry.key}'`;
      return {
        name: entry.key,
        mode: mode === undefined ? defaultMode(defaults.path, where) : parseMode(mode, where),
        ...parseOwner({ user: fields.find("user"), group: fields.find("group") }, defaults.path, where),
      };
    }),
    links: sections.rows("target:link").map((entry) => {
      const fields = Fields.ofRow(entry, name);
      const owner = parseOwner(
        { user: fields.find("user"), group: fields.find("group") },
        defaults.link,
        `'${name}': link '${entry.key}'`,
      );
      return { name: entry.key, destination: fields.text("destination"), ...owner };
    }),
    defaults,
    other: sections.other(),
  };
  checkBackupNames(manifest, name);
  checkNames(manifest, name);
  return manifest;
}

/** Complete and in-progress manifests alike. */
export function renderManifest(manifest: Manifest): string {
  return textOf(renderManifestBytes(manifest));
}

/** Approximate size of a file's row. */
const ROW_SIZE_BYTES = 288;
const HEAD_SIZE_BYTES = 64 * 1024;

export function renderManifestBytes(manifest: Manifest): Uint8Array {
  return renderInfoBytes(entriesOf(manifest), HEAD_SIZE_BYTES + manifest.files.length * ROW_SIZE_BYTES);
}

/** The same in parts, without keeping them. */
export function renderManifestParts(manifest: Manifest): Iterable<Uint8Array> {
  return renderInfoParts(entriesOf(manifest));
}

function entriesOf(manifest: Manifest): Iterable<InfoEntry> {
  checkBeforeRender(manifest);
  const { other } = manifest;
  return other.length === 0 ? knownEntriesOf(manifest) : mergeEntries([...knownEntriesOf(manifest)], other);
}

/** A generator, because there are many files. */
function* knownEntriesOf(manifest: Manifest): Iterable<InfoEntry> {
  const { pg, defaults } = manifest;
  const annotations = Object.entries(manifest.annotations).sort((a, b) => compareBytes(a[0], b[0]));
  yield* headEntries(manifest.backrestVersion);
  yield* sectionEntries("backup", backupPairs(manifest));
  yield* sectionEntries("backup:db", [
    ["db-catalog-version", String(pg.catalogVersion)],
    ["db-control-version", String(pg.controlVersion)],
    ["db-id", String(pg.id)],
    ["db-system-id", String(pg.systemId)],
    ["db-version", renderString(pg.version)],
  ]);
  yield* sectionEntries("backup:option", optionPairs(manifest.options));
  yield* rows("backup:target", sorted(manifest.targets), renderTarget);
  yield* sectionEntries("cipher", [["cipher-pass", textOrNothing(manifest.cipherPass)]]);
  yield* rows("db", sorted(manifest.databases), (database) =>
    renderObject([
      ["db-id", database.id],
      ["db-last-system-id", database.lastSystemId],
    ]),
  );
  yield* sectionEntries("metadata", [["annotation", annotations.length === 0 ? undefined : renderObject(annotations)]]);
  yield* rows("target:file", sortedViews(manifest.files), (file) => renderFileRow(file, defaults.file));
  yield* defaultEntries("target:file:default", defaults.file);
  if (manifest.links.length > 0) {
    yield* rows("target:link", sorted(manifest.links), (link) =>
      renderObject([["destination", link.destination], ...rowDifferences(link, defaults.link)]),
    );
    yield* defaultEntries("target:link:default", defaults.link);
  }
  yield* rows("target:path", sorted(manifest.paths), (path) => renderObject(rowDifferences(path, defaults.path)));
  yield* defaultEntries("target:path:default", defaults.path);
}

function parseDefaults(fields: Fields, where: string): RowDefaults {
  const mode = fields.findText("mode");
  return given({
    user: parseOwnerName(fields.find("user"), where),
    group: parseOwnerName(fields.find("group"), where),
    mode: mode === undefined ? undefined : parseMode(mode, where),
  });
}

function defaultEntries(section: string, defaults: RowDefaults): InfoEntry[] {
  return sectionEntries(section, [
    ["group", ownerOrNothing(defaults.group)],
    ["mode", defaults.mode === undefined ? undefined : renderString(renderMode(defaults.mode))],
    ["user", ownerOrNothing(defaults.user)],
  ]);
}

type BackupPart = Omit<
  Manifest,
  | "backrestVersion"
  | "pg"
  | "options"
  | "targets"
  | "cipherPass"
  | "databases"
  | "annotations"
  | "files"
  | "paths"
  | "links"
  | "defaults"
  | "other"
>;

function parseBackup(fields: Fields, files: FileList, name: string): BackupPart {
  const type = fields.text("backup-type");
  if (type !== "full" && type !== "diff" && type !== "incr") {
    throw fail("format", `'${name}': backup type is '${type}', expected full, diff or incr`);
  }
  const label = fields.text("backup-label");
  const references = fields.findText("backup-reference")?.split(",") ?? referencesOf(files, label);
  if (references.at(-1) !== label)
    throw fail("format", `'${name}': expected '${label}' as last reference but found '${references.at(-1)}'`);
  const optional = {
    prior: fields.findText("backup-prior"),
    lsnStart: fields.findText("backup-lsn-start"),
    lsnStop: fields.findText("backup-lsn-stop"),
    archiveStart: fields.findText("backup-archive-start"),
    archiveStop: fields.findText("backup-archive-stop"),
  };
  if ((type === "full") !== (optional.prior === undefined))
    throw fail("format", `'${name}': a ${type} backup has the prior '${optional.prior ?? "none"}'`);
  return {
    label,
    type,
    references,
    ...given(optional),
    startedAtS: fields.integer("backup-timestamp-start"),
    copyStartedAtS: fields.integer("backup-timestamp-copy-start"),
    stoppedAtS: fields.integer("backup-timestamp-stop"),
    bundle: fields.findBoolean("backup-bundle") ?? false,
    bundleRaw: fields.findBoolean("backup-bundle-raw") ?? false,
    blockIncr: fields.findBoolean("backup-block-incr") ?? false,
  };
}

/** The list that manifests before 2.42 lack. */
function referencesOf(files: FileList, label: string): string[] {
  const labels = new Set<string>();
  for (const { reference } of viewsOf(files)) if (reference !== undefined) labels.add(reference);
  return [...[...labels].sort(compareBytes), label];
}

function backupPairs(manifest: Manifest): [string, string | undefined][] {
  return [
    ["backup-archive-start", textOrNothing(manifest.archiveStart)],
    ["backup-archive-stop", textOrNothing(manifest.archiveStop)],
    ["backup-block-incr", manifest.blockIncr ? "true" : undefined],
    ["backup-bundle", manifest.bundle ? "true" : undefined],
    ["backup-bundle-raw", manifest.bundleRaw ? "true" : undefined],
    ["backup-label", renderString(manifest.label)],
    ["backup-lsn-start", textOrNothing(manifest.lsnStart)],
    ["backup-lsn-stop", textOrNothing(manifest.lsnStop)],
    ["backup-prior", textOrNothing(manifest.prior)],
    ["backup-reference", renderString(manifest.references.join(","))],
    ["backup-timestamp-copy-start", String(manifest.copyStartedAtS)],
    ["backup-timestamp-start", String(manifest.startedAtS)],
    ["backup-timestamp-stop", String(manifest.stoppedAtS)],
    ["backup-type", renderString(manifest.type)],
  ];
}

function parseOptions(fields: Fields, name: string): ManifestOptions {
  const compressType = fields.findText("option-compress-type") ?? (fields.boolean("option-compress") ? "gz" : "none");
  if (!isCompressType(compressType)) throw fail("format", `'${name}': unknown compress type '${compressType}'`);
  const optional = {
    backupStandby: fields.findBoolean("option-backup-standby"),
    bufferSizeBytes: fields.findInteger("option-buffer-size"),
    checksumPage: fields.findBoolean("option-checksum-page"),
    compressLevel: fields.findInteger("option-compress-level"),
    compressLevelNetwork: fields.findInteger("option-compress-level-network"),
    delta: fields.findBoolean("option-delta"),
    processMax: fields.findInteger("option-process-max"),
  };
  return {
    archiveCheck: fields.boolean("option-archive-check"),
    archiveCopy: fields.boolean("option-archive-copy"),
    compressType,
    hardlink: fields.boolean("option-hardlink"),
    online: fields.boolean("option-online"),
    ...given(optional),
  };
}

function optionPairs(options: ManifestOptions): [string, string | undefined][] {
  return [
    ["option-archive-check", String(options.archiveCheck)],
    ["option-archive-copy", String(options.archiveCopy)],
    ["option-backup-standby", valueOrNothing(options.backupStandby)],
    ["option-buffer-size", valueOrNothing(options.bufferSizeBytes)],
    ["option-checksum-page", valueOrNothing(options.checksumPage)],
    ["option-compress", String(options.compressType !== "none")],
    ["option-compress-level", valueOrNothing(options.compressLevel)],
    ["option-compress-level-network", valueOrNothing(options.compressLevelNetwork)],
    ["option-compress-type", renderString(options.compressType)],
    ["option-delta", valueOrNothing(options.delta)],
    ["option-hardlink", String(options.hardlink)],
    ["option-online", String(options.online)],
    ["option-process-max", valueOrNothing(options.processMax)],
  ];
}

function parseTarget(entry: ParsedEntry, name: string): ManifestTarget {
  const fields = Fields.ofRow(entry, name);
  const type = fields.text("type");
  if (type !== "path" && type !== "link")
    throw fail("format", `'${name}': target '${entry.key}' has type '${type}', expected path or link`);
  const optional = {
    file: fields.findText("file"),
    tablespaceId: fields.findText("tablespace-id"),
    tablespaceName: fields.findText("tablespace-name"),
  };
  return { name: entry.key, type, path: fields.text("path"), ...given(optional) };
}

function renderTarget(target: ManifestTarget): string {
  const fields: [string, JsonValue | undefined][] = [
    ["file", target.file],
    ["path", target.path],
    ["tablespace-id", target.tablespaceId],
    ["tablespace-name", target.tablespaceName],
    ["type", target.type],
  ];
  return renderObject(fields.filter((field): field is [string, JsonValue] => field[1] !== undefined));
}

/** One entry for each row, ascending by name. */
function* rows<T extends { readonly name: string }>(
  section: string,
  items: Iterable<T>,
  render: (item: T) => string,
): Iterable<InfoEntry> {
  for (const item of items) yield { section, key: item.name, valueText: render(item) };
}

function sorted<T extends { readonly name: string }>(items: Iterable<T>): T[] {
  return [...items].sort((a, b) => compareBytes(a.name, b.name));
}

function checkBeforeRender(manifest: Manifest): void {
  assert(manifest.references.at(-1) === manifest.label, `the last reference is not the own label '${manifest.label}'`);
  assert(
    (manifest.type === "full") === (manifest.prior === undefined),
    `a ${manifest.type} backup with prior '${manifest.prior ?? "none"}'`,
  );
  const references = new Set(manifest.references);
  for (const file of viewsOf(manifest.files)) {
    const { reference } = file;
    if (file.sizeBytes === 0 && file.sha1 !== "" && file.sha1 !== SHA1_EMPTY)
      throw fail("assert", `file '${file.name}' is empty but has checksum ${file.sha1}`);
    if (reference === undefined || (reference !== manifest.label && references.has(reference))) continue;
    throw fail("assert", `file '${file.name}' refers to unknown backup '${reference}'`);
  }
}

function textOrNothing(text: string | undefined): string | undefined {
  return text === undefined ? undefined : renderString(text);
}

function ownerOrNothing(name: OwnerName | undefined): string | undefined {
  return name === null ? "false" : textOrNothing(name);
}

function valueOrNothing(value: number | boolean | undefined): string | undefined {
  return value === undefined ? undefined : String(value);
}
