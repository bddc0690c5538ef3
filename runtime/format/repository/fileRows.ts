/**
 * Many rows of `[target:file]` in little memory: 76 bytes and the base name, where an object with its texts takes 400.
 * Rows of files that are not copied yet take 20 and the base name, and the lists of several repositories share these.
 *
 * The numbers and checksums of a row are records of fixed size, outside V8's heap, where they are neither moved nor
 * searched by the garbage collection. Texts that many rows share are stored once. A row of unusual form stays an
 * object. Each access to another row makes a new object: keep none of them.
 */
import { compareBytes } from "../../base/bytes";
import { completeRow, type FileRow } from "./manifestFile";
import type { FileList, FileView, ManifestFile, OwnerName, RowDefaults } from "./manifestRows";

const ROWS_AT_ONCE = 1024;
const TEXT_SIZE_BYTES = 64 * 1024;
/** What a file has by itself: positions in a record of fields with four bytes. */
const SOURCE = { size: 0, modifiedAt: 1, rights: 2, directory: 3, baseName: 4 } as const;
const SOURCE_FIELDS = 5;
/** How it is stored. All zeros are a file that is not copied yet. */
const STORED = { sizeRepo: 0, bundleId: 1, bundleOffset: 2, flags: 3 } as const;
const STORED_FIELDS = 4;
const SHA1_SIZE_BYTES = 20;
/** That of the content and that of the stored bytes. */
const SHA1S_SIZE_BYTES = 2 * SHA1_SIZE_BYTES;
const SHA1_DIGITS = 2 * SHA1_SIZE_BYTES;
/** The lowest bits of the directory hold the length of the base name. */
const BASE_NAME_LENGTH_BITS = 8;
const BASE_NAME_LENGTH_MAX = 2 ** BASE_NAME_LENGTH_BITS - 1;
const DIRECTORIES_MAX = 0xff_ffff;
const FLAG = { copied: 1, sha1: 2, sha1Repo: 4, checksumPage: 8, pagesValid: 16, block: 32 } as const;
/** The other bits of the flags hold the reference. */
const REFERENCE_UNIT = 64;
const REFERENCES_MAX = 0x3ff_ffff;
const ASCII_MAX = 0x7f;
const SLASH = "/";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Rights = Mutable<Pick<FileRow, "mode" | "user" | "group">>;

interface Chunk {
  readonly source: Uint32Array;
  /** Null until a row is copied. */
  stored: Uint32Array | null;
  /** Checksums; null until a row has one. */
  sha1s: Buffer | null;
}

/** The methods of an array that readers of manifests use. */
abstract class RowList implements FileList {
  abstract readonly length: number;
  abstract at(index: number): ManifestFile | undefined;
  /** True if the names ascend by their bytes, as in the file. */
  abstract readonly isSorted: boolean;
  abstract viewAt(index: number): FileView;
  /** Each view holds until the next one. */
  abstract views(): Iterable<FileView>;
  abstract nameAt(index: number): string;

  *[Symbol.iterator](): Iterator<ManifestFile> {
    for (let index = 0; index < this.length; index++) yield this.at(index) as ManifestFile;
  }

  filter(isWanted: (file: ManifestFile) => boolean): ManifestFile[] {
    const wanted: ManifestFile[] = [];
    for (const file of this) if (isWanted(file)) wanted.push(file);
    return wanted;
  }

  find(isWanted: (file: ManifestFile) => boolean): ManifestFile | undefined {
    for (const file of this) if (isWanted(file)) return file;
    return undefined;
  }

  some(isWanted: (file: ManifestFile) => boolean): boolean {
    return this.find(isWanted) !== undefined;
  }

  map<T>(resultOf: (file: ManifestFile) => T): T[] {
    return Array.from(this, resultOf);
  }

  reduce<T>(join: (result: T, file: ManifestFile) => T, first: T): T {
    let result = first;
    for (const file of this) result = join(result, file);
    return result;
  }
}

export class FileRows extends RowList {
  readonly #chunks: Chunk[] = [];
  /** Rows of the same files in the same order, whose names and sources this list shares. */
  readonly #base: FileRows | null;
  readonly #shared: Shared;
  #textFilledBytes = TEXT_SIZE_BYTES;
  readonly #rightsByKey = new Map<string, number>();
  #lastRights = 0;
  /** Rows of unusual form. */
  readonly #whole = new Map<number, FileRow>();
  #length = 0;
  #isSorted = true;
  #lastName = "";

  /** The first rows that are added to a list with a base are those of its files, in their order. */
  constructor(base: FileRows | null = null) {
    super();
    this.#base = base;
    const own = { references: new Texts(), blocks: new Map() };
    this.#shared =
      base === null ? { texts: [], rights: [], directories: new Texts(), ...own } : { ...base.#shared, ...own };
  }

  /** The rows of a list, in records of their own if it only refers to them. */
  static of(files: FileList): FileRows {
    if (files instanceof FileRows) return files;
    const rows = new FileRows();
    for (const file of files) rows.add(file);
    return rows;
  }

  get length(): number {
    return this.#length;
  }

  get isSorted(): boolean {
    return this.#isSorted;
  }

  at(index: number): ManifestFile | undefined {
    if (index < 0 || index >= this.#length) return undefined;
    const view = this.viewAt(index);
    return view instanceof RecordView ? view.row() : view;
  }

  viewAt(index: number): ManifestFile | RecordView {
    // `complete` has seen to it.
    return (
      (this.#whole.get(index) as ManifestFile | undefined) ?? new RecordView(this.#chunkOf(index), index, this.#shared)
    );
  }

  *views(): Iterable<FileView> {
    let view: RecordView | null = null;
    for (let index = 0; index < this.#length; index++) {
      const whole = this.#whole.size === 0 ? undefined : this.#whole.get(index);
      if (whole !== undefined) {
        yield whole as ManifestFile;
        continue;
      }
      const chunk = this.#chunkOf(index);
      if (view === null) view = new RecordView(chunk, index, this.#shared);
      else view.move(chunk, index);
      yield view;
    }
  }

  nameAt(index: number): string {
    const whole = this.#whole.get(index);
    if (whole !== undefined) return whole.name;
    return nameIn(this.#chunkOf(index).source, sourceBeginOf(index), this.#shared);
  }

  /** Its position. A row without mode or owner needs {@link complete}. */
  add(row: FileRow): number {
    const index = this.#addRecord();
    this.#isSorted &&= compareBytes(this.#lastName, row.name) <= 0;
    this.#lastName = row.name;
    if (!this.#pack(index, row, false)) this.#whole.set(index, row);
    return index;
  }

  /** The position of a row that {@link put} will give. */
  addDeferred(): number {
    this.#isSorted = false;
    return this.#addRecord();
  }

  #addRecord(): number {
    const index = this.#length++;
    if (index % ROWS_AT_ONCE === 0) {
      const shared = this.#base === null ? undefined : this.#base.#chunks[index / ROWS_AT_ONCE];
      const source = shared?.source ?? new Uint32Array(ROWS_AT_ONCE * SOURCE_FIELDS);
      this.#chunks.push({ source, stored: null, sha1s: null });
    }
    return index;
  }

  put(index: number, row: ManifestFile): void {
    this.#whole.set(index, row);
  }

  /** Replaces the row of the same name. */
  replace(index: number, row: ManifestFile): void {
    const isRecord = !this.#whole.delete(index);
    this.#shared.blocks.delete(index);
    if (!this.#pack(index, row, isRecord)) this.#whole.set(index, row);
  }

  /** Gives every row what it lacks. `name` is the manifest's, for messages. @throws format */
  complete(defaults: RowDefaults, name: string): void {
    const incomplete = new Set<number>();
    for (const [index, { mode, user, group }] of this.#shared.rights.entries())
      if (mode === undefined || user === undefined || group === undefined) incomplete.add(index);
    for (let index = 0; incomplete.size > 0 && index < this.#length; index++) {
      if (this.#whole.has(index)) continue;
      const rights = this.#chunkOf(index).source[sourceBeginOf(index) + SOURCE.rights] as number;
      if (!incomplete.delete(rights)) continue;
      const { mode, user, group } = completeRow(this.at(index) as FileRow, defaults, name);
      this.#shared.rights[rights] = { mode, user, group };
    }
    for (const row of this.#whole.values()) completeRow(row, defaults, name);
    // Rights that were equal to the defaults now exist twice.
    this.#rightsByKey.clear();
  }

  #chunkOf(index: number): Chunk {
    return this.#chunks[Math.floor(index / ROWS_AT_ONCE)] as Chunk;
  }

  /** False for a row that does not fit into a record. `hasName` keeps the record's name. */
  #pack(index: number, row: FileRow, hasName: boolean): boolean {
    if (row.sizeOriginalBytes !== undefined || row.pageErrors !== undefined) return false;
    const { source } = this.#chunkOf(index);
    const isPacked =
      this.#base === null
        ? this.#packSource(source, sourceBeginOf(index), row, hasName)
        : index < this.#base.length && this.#isSource(source, sourceBeginOf(index), row);
    return isPacked && this.#packStored(index, row);
  }

  /** True if the shared record has what the row has. */
  #isSource(source: Uint32Array, begin: number, { mode, modifiedAtS, sizeBytes, user, group }: FileRow): boolean {
    const rights = this.#shared.rights[source[begin + SOURCE.rights] as number];
    return (
      source[begin + SOURCE.size] === sizeBytes &&
      source[begin + SOURCE.modifiedAt] === modifiedAtS &&
      rights !== undefined &&
      rights.mode === mode &&
      rights.user === user &&
      rights.group === group &&
      source[begin + SOURCE.directory] !== 0
    );
  }

  #packSource(source: Uint32Array, begin: number, row: FileRow, hasName: boolean): boolean {
    const { name, sizeBytes, modifiedAtS } = row;
    if (!fitsField(sizeBytes) || !fitsField(modifiedAtS)) return false;
    const directoryLength = name.lastIndexOf(SLASH) + 1;
    if (!hasName) {
      const baseName = this.#addText(name, directoryLength);
      const directory = this.#shared.directories.add(name, directoryLength);
      if (baseName === null || directory > DIRECTORIES_MAX) return false;
      source[begin + SOURCE.baseName] = baseName;
      source[begin + SOURCE.directory] = directory * 2 ** BASE_NAME_LENGTH_BITS + name.length - directoryLength;
    }
    source[begin + SOURCE.size] = sizeBytes;
    source[begin + SOURCE.modifiedAt] = modifiedAtS;
    source[begin + SOURCE.rights] = this.#rightsOf(row);
    return true;
  }

  #packStored(index: number, row: FileRow): boolean {
    const { sizeBytes, sizeRepoBytes, sha1, sha1Repo, reference, bundle, block, checksumPage } = row;
    if (!fitsField(sizeRepoBytes)) return false;
    if (bundle !== undefined && !(bundle.id > 0 && fitsField(bundle.id) && fitsField(bundle.offsetBytes))) return false;
    const chunk = this.#chunkOf(index);
    const isUncopied =
      sizeRepoBytes === sizeBytes &&
      sha1 === "" &&
      [sha1Repo, reference, bundle, block, checksumPage].every((value) => value === undefined);
    if (isUncopied && chunk.stored === null) return true;
    const sha1At = sha1sBeginOf(index);
    if (sha1 !== "" && !writeSha1(sha1sOf(chunk), sha1At, sha1)) return false;
    if (sha1Repo !== undefined && !writeSha1(sha1sOf(chunk), sha1At + SHA1_SIZE_BYTES, sha1Repo)) return false;
    const referenceNo = reference === undefined ? 0 : this.#shared.references.add(reference, reference.length);
    if (referenceNo > REFERENCES_MAX) return false;
    let flags = isUncopied ? 0 : FLAG.copied;
    if (sha1 !== "") flags |= FLAG.sha1;
    if (sha1Repo !== undefined) flags |= FLAG.sha1Repo;
    if (checksumPage !== undefined) flags |= checksumPage ? FLAG.checksumPage | FLAG.pagesValid : FLAG.checksumPage;
    if (block !== undefined) {
      this.#shared.blocks.set(index, block);
      flags |= FLAG.block;
    }
    const stored = (chunk.stored ??= new Uint32Array(ROWS_AT_ONCE * STORED_FIELDS));
    const begin = storedBeginOf(index);
    stored[begin + STORED.sizeRepo] = sizeRepoBytes;
    stored[begin + STORED.bundleId] = bundle?.id ?? 0;
    stored[begin + STORED.bundleOffset] = bundle?.offsetBytes ?? 0;
    stored[begin + STORED.flags] = referenceNo * REFERENCE_UNIT + flags;
    return true;
  }

  #rightsOf({ mode, user, group }: FileRow): number {
    const last = this.#shared.rights[this.#lastRights];
    if (last !== undefined && last.mode === mode && last.user === user && last.group === group) return this.#lastRights;
    // Null is an owner without a name.
    const key = JSON.stringify([mode, user === undefined ? 0 : user, group === undefined ? 0 : group]);
    let index = this.#rightsByKey.get(key);
    if (index === undefined) {
      index = this.#shared.rights.push({ mode, user, group }) - 1;
      this.#rightsByKey.set(key, index);
    }
    return (this.#lastRights = index);
  }

  /** Where the base name now is; null if it is not plain ASCII of a usual length, or is empty. */
  #addText(name: string, begin: number): number | null {
    const length = name.length - begin;
    if (begin === 0 || length === 0 || length > BASE_NAME_LENGTH_MAX) return null;
    if (this.#textFilledBytes + length > TEXT_SIZE_BYTES) {
      this.#shared.texts.push(Buffer.allocUnsafeSlow(TEXT_SIZE_BYTES));
      this.#textFilledBytes = 0;
    }
    const { texts } = this.#shared;
    const text = texts[texts.length - 1] as Buffer;
    const at = this.#textFilledBytes;
    for (let index = 0; index < length; index++) {
      const char = name.charCodeAt(begin + index);
      if (char > ASCII_MAX) return null;
      text[at + index] = char;
    }
    this.#textFilledBytes += length;
    return (this.#shared.texts.length - 1) * TEXT_SIZE_BYTES + at;
  }
}

/** What the records of a list refer to. */
interface Shared {
  /** Base names, one after the other. */
  readonly texts: Buffer[];
  readonly rights: Rights[];
  readonly references: Texts;
  /** With their slash. */
  readonly directories: Texts;
  readonly blocks: Map<number, NonNullable<ManifestFile["block"]>>;
}

function nameIn(source: Uint32Array, begin: number, { texts, directories }: Shared): string {
  const baseName = source[begin + SOURCE.baseName] as number;
  const directory = source[begin + SOURCE.directory] as number;
  const at = baseName % TEXT_SIZE_BYTES;
  const text = texts[Math.floor(baseName / TEXT_SIZE_BYTES)] as Buffer;
  const base = text.toString("latin1", at, at + (directory & BASE_NAME_LENGTH_MAX));
  return `${directories.at(directory >>> BASE_NAME_LENGTH_BITS)}${base}`;
}

/** Reads a record. */
class RecordView implements FileView {
  #chunk: Chunk;
  #index: number;
  #digits = "";
  readonly #shared: Shared;

  constructor(chunk: Chunk, index: number, shared: Shared) {
    this.#chunk = chunk;
    this.#index = index;
    this.#shared = shared;
  }

  move(chunk: Chunk, index: number): void {
    this.#chunk = chunk;
    this.#index = index;
    this.#digits = "";
  }

  get name(): string {
    return nameIn(this.#chunk.source, sourceBeginOf(this.#index), this.#shared);
  }

  get sizeBytes(): number {
    return this.#source(SOURCE.size);
  }

  get sizeRepoBytes(): number {
    return this.#has(FLAG.copied) ? this.#stored(STORED.sizeRepo) : this.sizeBytes;
  }

  get sha1(): string {
    return this.#has(FLAG.sha1) ? this.#sha1s().slice(0, SHA1_DIGITS) : "";
  }

  get sha1Repo(): string | undefined {
    return this.#has(FLAG.sha1Repo) ? this.#sha1s().slice(SHA1_DIGITS) : undefined;
  }

  get modifiedAtS(): number {
    return this.#source(SOURCE.modifiedAt);
  }

  get mode(): number {
    return this.#rights.mode;
  }

  get user(): OwnerName {
    return this.#rights.user;
  }

  get group(): OwnerName {
    return this.#rights.group;
  }

  get reference(): string | undefined {
    const reference = Math.floor(this.#stored(STORED.flags) / REFERENCE_UNIT);
    return reference === 0 ? undefined : this.#shared.references.at(reference);
  }

  get bundle(): ManifestFile["bundle"] {
    const id = this.#stored(STORED.bundleId);
    return id === 0 ? undefined : { id, offsetBytes: this.#stored(STORED.bundleOffset) };
  }

  get block(): ManifestFile["block"] {
    return this.#has(FLAG.block) ? this.#shared.blocks.get(this.#index) : undefined;
  }

  get checksumPage(): boolean | undefined {
    return this.#has(FLAG.checksumPage) ? this.#has(FLAG.pagesValid) : undefined;
  }

  // Rows with these have no record.

  get sizeOriginalBytes(): undefined {
    return undefined;
  }

  get pageErrors(): undefined {
    return undefined;
  }

  /** A copy. */
  row(): ManifestFile {
    const { sha1Repo, reference, bundle, block, checksumPage } = this;
    const { mode, user, group } = this.#rights;
    const row: Mutable<ManifestFile> = {
      name: this.name,
      sizeBytes: this.sizeBytes,
      sizeRepoBytes: this.sizeRepoBytes,
      sha1: this.sha1,
      modifiedAtS: this.modifiedAtS,
      mode,
      user,
      group,
    };
    if (sha1Repo !== undefined) row.sha1Repo = sha1Repo;
    if (reference !== undefined) row.reference = reference;
    if (bundle !== undefined) row.bundle = bundle;
    if (block !== undefined) row.block = block;
    if (checksumPage !== undefined) row.checksumPage = checksumPage;
    return row;
  }

  get #rights(): ManifestFile {
    return this.#shared.rights[this.#source(SOURCE.rights)] as ManifestFile;
  }

  #source(position: number): number {
    return this.#chunk.source[sourceBeginOf(this.#index) + position] as number;
  }

  #stored(position: number): number {
    return this.#chunk.stored?.[storedBeginOf(this.#index) + position] ?? 0;
  }

  #has(flag: number): boolean {
    return (this.#stored(STORED.flags) & flag) !== 0;
  }

  /** Both by one call, which costs more than its work. */
  #sha1s(): string {
    if (this.#digits !== "") return this.#digits;
    const at = sha1sBeginOf(this.#index);
    const end = at + (this.#has(FLAG.sha1Repo) ? 2 : 1) * SHA1_SIZE_BYTES;
    return (this.#digits = sha1sOf(this.#chunk).toString("hex", at, end));
  }
}

/** Some rows of a list, by their positions there. */
class SomeRows extends RowList {
  readonly isSorted: boolean;
  readonly #files: FileList;
  readonly #order: Uint32Array;

  constructor(files: FileList, order: Uint32Array, isInOrder: boolean) {
    super();
    this.isSorted = isInOrder;
    this.#files = files;
    this.#order = order;
  }

  get length(): number {
    return this.#order.length;
  }

  at(index: number): ManifestFile | undefined {
    const position = this.#order[index];
    return position === undefined ? undefined : this.#files.at(position);
  }

  viewAt(index: number): FileView {
    return viewAt(this.#files, this.#order[index] as number);
  }

  *views(): Iterable<FileView> {
    for (const position of this.#order) yield viewAt(this.#files, position);
  }

  nameAt(index: number): string {
    return nameAt(this.#files, this.#order[index] as number);
  }
}

/** The rows at these positions, which ascend by name. */
export function inOrder(files: FileList, order: Uint32Array): FileList {
  return new SomeRows(files, order, true);
}

/** The rows for a look at some of their values, each until the next one: much cheaper than rows. */
export function viewsOf(files: FileList): Iterable<FileView> {
  return files instanceof RowList ? files.views() : files;
}

/** The same, ascending by name. */
export function sortedViews(files: FileList): Iterable<FileView> {
  if (files instanceof RowList && files.isSorted) return files.views();
  return [...files].sort((left, right) => compareBytes(left.name, right.name));
}

/** What `filter` returns, without keeping the rows. */
export function filesWhere(files: FileList, isWanted: (file: FileView) => boolean): FileList {
  const order = new Uint32Array(files.length);
  let count = 0;
  let index = 0;
  for (const file of viewsOf(files)) {
    if (isWanted(file)) order[count++] = index;
    index++;
  }
  return count === index ? files : new SomeRows(files, order.slice(0, count), isSorted(files));
}

/** Ascending by `keyOf`; equal ones keep their order. */
export function sortedBy(files: FileList, keyOf: (file: FileView) => number): FileList {
  const keys = new Float64Array(files.length);
  const order = new Uint32Array(files.length);
  let index = 0;
  for (const file of viewsOf(files)) {
    keys[index] = keyOf(file);
    order[index] = index++;
  }
  const keyAt = (position: number): number => keys[position] as number;
  return new SomeRows(
    files,
    order.sort((left, right) => keyAt(left) - keyAt(right) || left - right),
    false,
  );
}

/** Ascending by name. */
export function sortedByName(files: FileList): FileList {
  if (isSorted(files)) return files;
  // An array: its sort is quick where most names ascend already.
  const order = Array.from({ length: files.length }, (_, index) => index);
  order.sort((left, right) => compareBytes(nameAt(files, left), nameAt(files, right)));
  return new SomeRows(files, Uint32Array.from(order), true);
}

/** True if the names are known to ascend by their bytes. */
export function isSorted(files: FileList): boolean {
  return files instanceof RowList && files.isSorted;
}

/** One of {@link viewsOf}. */
export function viewAt(files: FileList, index: number): FileView {
  return files instanceof RowList ? files.viewAt(index) : (files.at(index) as ManifestFile);
}

export function nameAt(files: FileList, index: number): string {
  return files instanceof RowList ? files.nameAt(index) : (files.at(index) as ManifestFile).name;
}

function sourceBeginOf(index: number): number {
  return (index % ROWS_AT_ONCE) * SOURCE_FIELDS;
}

function storedBeginOf(index: number): number {
  return (index % ROWS_AT_ONCE) * STORED_FIELDS;
}

function sha1sBeginOf(index: number): number {
  return (index % ROWS_AT_ONCE) * SHA1S_SIZE_BYTES;
}

function sha1sOf(chunk: Chunk): Buffer {
  return (chunk.sha1s ??= Buffer.allocUnsafeSlow(ROWS_AT_ONCE * SHA1S_SIZE_BYTES));
}

/** Texts by number, from 1. Neighbours mostly share theirs. */
class Texts {
  readonly #texts: string[] = [];
  readonly #numbers = new Map<string, number>();
  #last = "";
  #lastNumber = 0;

  /** The number of the first `length` characters. */
  add(text: string, length: number): number {
    if (this.#lastNumber !== 0 && this.#last.length === length && text.startsWith(this.#last)) return this.#lastNumber;
    const own = text.slice(0, length);
    let number = this.#numbers.get(own);
    if (number === undefined) this.#numbers.set(own, (number = this.#texts.push(own)));
    this.#last = own;
    return (this.#lastNumber = number);
  }

  at(number: number): string {
    return this.#texts[number - 1] as string;
  }
}

/** The values of hexadecimal digits by their character codes; -1 for other characters. */
const DIGITS = Int8Array.from({ length: ASCII_MAX + 1 }, (_, code) =>
  "0123456789abcdef".indexOf(String.fromCharCode(code)),
);

/** False if it is not 40 digits. In half of the time of a check and Node's own function. */
function writeSha1(bytes: Uint8Array, begin: number, sha1: string): boolean {
  let all = 0;
  for (let at = 0; at < SHA1_SIZE_BYTES; at++) {
    const high = DIGITS[sha1.charCodeAt(2 * at)] ?? -1;
    const low = DIGITS[sha1.charCodeAt(2 * at + 1)] ?? -1;
    all |= high | low;
    bytes[begin + at] = (high << 4) | low;
  }
  return all >= 0 && sha1.length === SHA1_DIGITS;
}

function fitsField(value: number): boolean {
  return value >>> 0 === value;
}
