/**
 * Many rows of `[target:file]` in little memory: 80 bytes and the base name, where an object with its texts takes 400.
 * Rows without a checksum, as of files that are not copied yet, take half of it.
 *
 * The numbers and checksums of a row are one record of fixed size, outside V8's heap, where they are neither moved nor
 * searched by the garbage collection. Texts that many rows share are stored once. A row of unusual form stays an
 * object. Each access to another row makes a new object: keep none of them.
 */
import { compareBytes, countBefore } from "../../base/bytes";
import { completeRow, type FileRow } from "./manifestFile";
import type { FileList, FileView, ManifestFile, OwnerName, RowDefaults } from "./manifestRows";

const ROWS_AT_ONCE = 1024;
const TEXT_SIZE_BYTES = 64 * 1024;
/** Positions in a record of fields with four bytes. */
const FIELD = {
  size: 0,
  sizeRepo: 1,
  modifiedAt: 2,
  rights: 3,
  reference: 4,
  bundleId: 5,
  bundleOffset: 6,
  directory: 7,
  baseName: 8,
  flags: 9,
} as const;
const RECORD_FIELDS = 10;
const SHA1_SIZE_BYTES = 20;
/** That of the content and that of the stored bytes. */
const SHA1S_SIZE_BYTES = 2 * SHA1_SIZE_BYTES;
const SHA1_DIGITS = 2 * SHA1_SIZE_BYTES;
/** The lowest bits hold the length of the base name. */
const BASE_NAME_LENGTH_MAX = 255;
const FLAG = { sha1: 0x100, sha1Repo: 0x200, checksumPage: 0x400, pagesValid: 0x800, block: 0x1000 } as const;
const ASCII_MAX = 0x7f;
const SLASH = "/";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Rights = Mutable<Pick<FileRow, "mode" | "user" | "group">>;

interface Chunk {
  readonly fields: Uint32Array;
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
  readonly #shared: Shared = {
    texts: [],
    rights: [],
    references: new Texts(),
    directories: new Texts(),
    blocks: new Map(),
  };
  #textFilledBytes = TEXT_SIZE_BYTES;
  readonly #rightsByKey = new Map<string, number>();
  #lastRights = 0;
  /** Rows of unusual form. */
  readonly #whole = new Map<number, FileRow>();
  #length = 0;
  #isSorted = true;
  #lastName = "";

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
    return nameIn(this.#chunkOf(index).fields, beginOf(index), this.#shared);
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
    if (index % ROWS_AT_ONCE === 0)
      this.#chunks.push({ fields: new Uint32Array(ROWS_AT_ONCE * RECORD_FIELDS), sha1s: null });
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
      const rights = this.#chunkOf(index).fields[beginOf(index) + FIELD.rights] as number;
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
    const { name, sizeBytes, sizeRepoBytes, sha1, sha1Repo, modifiedAtS, reference, bundle, block, checksumPage } = row;
    if (row.sizeOriginalBytes !== undefined || row.pageErrors !== undefined) return false;
    if (!fitsField(sizeBytes) || !fitsField(sizeRepoBytes) || !fitsField(modifiedAtS)) return false;
    if (bundle !== undefined && !(bundle.id > 0 && fitsField(bundle.id) && fitsField(bundle.offsetBytes))) return false;
    const directoryLength = name.lastIndexOf(SLASH) + 1;
    const chunk = this.#chunkOf(index);
    const { fields } = chunk;
    const begin = beginOf(index);
    const sha1At = sha1sBeginOf(index);
    if (sha1 !== "" && !writeSha1(sha1sOf(chunk), sha1At, sha1)) return false;
    if (sha1Repo !== undefined && !writeSha1(sha1sOf(chunk), sha1At + SHA1_SIZE_BYTES, sha1Repo)) return false;
    const baseName = hasName ? (fields[begin + FIELD.baseName] as number) : this.#addText(name, directoryLength);
    if (baseName === null) return false;
    fields[begin + FIELD.size] = sizeBytes;
    fields[begin + FIELD.sizeRepo] = sizeRepoBytes;
    fields[begin + FIELD.modifiedAt] = modifiedAtS;
    fields[begin + FIELD.rights] = this.#rightsOf(row);
    fields[begin + FIELD.reference] =
      reference === undefined ? 0 : this.#shared.references.add(reference, reference.length);
    fields[begin + FIELD.bundleId] = bundle?.id ?? 0;
    fields[begin + FIELD.bundleOffset] = bundle?.offsetBytes ?? 0;
    fields[begin + FIELD.directory] = this.#shared.directories.add(name, directoryLength);
    fields[begin + FIELD.baseName] = baseName;
    let flags = name.length - directoryLength;
    if (sha1 !== "") flags |= FLAG.sha1;
    if (sha1Repo !== undefined) flags |= FLAG.sha1Repo;
    if (checksumPage !== undefined) flags |= checksumPage ? FLAG.checksumPage | FLAG.pagesValid : FLAG.checksumPage;
    if (block !== undefined) {
      this.#shared.blocks.set(index, block);
      flags |= FLAG.block;
    }
    fields[begin + FIELD.flags] = flags;
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

  /** Where the base name now is; null if it is not plain ASCII of a usual length. */
  #addText(name: string, begin: number): number | null {
    const length = name.length - begin;
    if (begin === 0 || length > BASE_NAME_LENGTH_MAX) return null;
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

function nameIn(fields: Uint32Array, begin: number, { texts, directories }: Shared): string {
  const baseName = fields[begin + FIELD.baseName] as number;
  const at = baseName % TEXT_SIZE_BYTES;
  const end = at + ((fields[begin + FIELD.flags] as number) & BASE_NAME_LENGTH_MAX);
  const text = texts[Math.floor(baseName / TEXT_SIZE_BYTES)] as Buffer;
  return `${directories.at(fields[begin + FIELD.directory] as number)}${text.toString("latin1", at, end)}`;
}

/** Reads a record. */
class RecordView implements FileView {
  #chunk: Chunk;
  #index: number;
  #begin: number;
  #digits = "";
  readonly #shared: Shared;

  constructor(chunk: Chunk, index: number, shared: Shared) {
    this.#chunk = chunk;
    this.#index = index;
    this.#begin = beginOf(index);
    this.#shared = shared;
  }

  move(chunk: Chunk, index: number): void {
    this.#chunk = chunk;
    this.#index = index;
    this.#begin = beginOf(index);
    this.#digits = "";
  }

  get name(): string {
    return nameIn(this.#chunk.fields, this.#begin, this.#shared);
  }

  get sizeBytes(): number {
    return this.#field(FIELD.size);
  }

  get sizeRepoBytes(): number {
    return this.#field(FIELD.sizeRepo);
  }

  get sha1(): string {
    return this.#has(FLAG.sha1) ? this.#sha1s().slice(0, SHA1_DIGITS) : "";
  }

  get sha1Repo(): string | undefined {
    return this.#has(FLAG.sha1Repo) ? this.#sha1s().slice(SHA1_DIGITS) : undefined;
  }

  get modifiedAtS(): number {
    return this.#field(FIELD.modifiedAt);
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
    const reference = this.#field(FIELD.reference);
    return reference === 0 ? undefined : this.#shared.references.at(reference);
  }

  get bundle(): ManifestFile["bundle"] {
    const id = this.#field(FIELD.bundleId);
    return id === 0 ? undefined : { id, offsetBytes: this.#field(FIELD.bundleOffset) };
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
    return this.#shared.rights[this.#field(FIELD.rights)] as ManifestFile;
  }

  #field(position: number): number {
    return this.#chunk.fields[this.#begin + position] as number;
  }

  #has(flag: number): boolean {
    return (this.#field(FIELD.flags) & flag) !== 0;
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
  const isSorted = files instanceof RowList && files.isSorted;
  return count === index ? files : new SomeRows(files, order.slice(0, count), isSorted);
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
  if (files instanceof RowList && files.isSorted) return files;
  // An array: its sort is quick where most names ascend already.
  const order = Array.from({ length: files.length }, (_, index) => index);
  order.sort((left, right) => compareBytes(nameAt(files, left), nameAt(files, right)));
  return new SomeRows(files, Uint32Array.from(order), true);
}

/** One of {@link viewsOf}. */
export function viewAt(files: FileList, index: number): FileView {
  return files instanceof RowList ? files.viewAt(index) : (files.at(index) as ManifestFile);
}

export function nameAt(files: FileList, index: number): string {
  return files instanceof RowList ? files.nameAt(index) : (files.at(index) as ManifestFile).name;
}

/**
 * Finds rows by name: a map of a million names would take ten times as much memory. Names that are asked for in the
 * order of the rows are found without a search.
 */
export class NameIndex {
  readonly #length: number;
  readonly #nameAt: (index: number) => string;
  /** Positions from 1 by the hash of their names; half of the slots are free. */
  #slots: Uint32Array | null = null;
  #last = -1;
  #lastName: string | null = null;
  /** Searches by halves before the hashes of all names are worth their time; none if the names do not ascend. */
  #searchesLeft: number;

  /** No name may occur twice. `isSorted` if they ascend by their bytes. */
  constructor(length: number, nameOf: (index: number) => string, isSorted: boolean) {
    this.#length = length;
    this.#nameAt = nameOf;
    this.#searchesLeft = isSorted ? Math.ceil(length / SEARCH_COST) : 0;
  }

  static of(files: FileList): NameIndex {
    return new NameIndex(files.length, (index) => nameAt(files, index), files instanceof RowList && files.isSorted);
  }

  /** -1 for an unknown name. */
  find(name: string): number {
    if (name === this.#lastName) return this.#last;
    const index = this.#findOther(name);
    if (index !== -1) {
      this.#last = index;
      this.#lastName = name;
    }
    return index;
  }

  #findOther(name: string): number {
    for (let index = this.#last; index < Math.min(this.#last + NEAR, this.#length); index++)
      if (index >= 0 && this.#nameAt(index) === name) return index;
    return this.#slots === null && this.#searchesLeft-- > 0 ? this.#search(name) : this.#lookUp(name);
  }

  #search(name: string): number {
    const index = countBefore(this.#length, (at) => compareBytes(this.#nameAt(at), name) < 0);
    return index < this.#length && this.#nameAt(index) === name ? index : -1;
  }

  #lookUp(name: string): number {
    this.#slots ??= this.#slotsOfAll();
    return (this.#slots[this.#slotOf(name, this.#slots)] as number) - 1;
  }

  #slotsOfAll(): Uint32Array {
    const slots = new Uint32Array(2 ** Math.ceil(Math.log2(this.#length + 1) + 1));
    for (let index = 0; index < this.#length; index++) slots[this.#slotOf(this.#nameAt(index), slots)] = index + 1;
    return slots;
  }

  /** Where the name is, or would be. */
  #slotOf(name: string, slots: Uint32Array): number {
    const mask = slots.length - 1;
    let hash = HASH_BASIS;
    for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), HASH_PRIME);
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const index = slots[slot] as number;
      if (index === 0 || this.#nameAt(index - 1) === name) return slot;
    }
  }
}

/** Rows to look at before a search: the last one that was found, and the next ones. */
const NEAR = 3;
/** A search takes as long as the hashes of so many names. */
const SEARCH_COST = 64;
/** FNV-1a. */
const HASH_BASIS = 0x811c9dc5;
const HASH_PRIME = 0x01000193;

function beginOf(index: number): number {
  return (index % ROWS_AT_ONCE) * RECORD_FIELDS;
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
