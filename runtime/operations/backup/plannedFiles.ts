/** One repository's row of each scanned file, in the scan's order: as planned, and as stored once it is copied. */
import { compareBytes } from "../../base/bytes";
import { assert } from "../../base/errors";
import { SHA1_EMPTY } from "../../base/hash";
import { FileRows, inOrder, viewsOf } from "../../format/repository/fileRows";
import { NameIndex } from "../../format/repository/nameIndex";
import type { FileList, ManifestFile } from "../../format/repository/manifest";
import type { ScannedFile } from "../../postgres/dataDirectory";

export type Choice =
  /** The repository has it: the file is not read. */
  | { readonly kind: "keep"; readonly row: ManifestFile }
  /** The file is read; equal bytes keep `row`. */
  | { readonly kind: "compare"; readonly row: ManifestFile };

/** Undefined for a file that is copied. */
const KINDS = [undefined, "keep", "compare"] as const;

export class PlannedFiles {
  readonly #files: FileList;
  /** They share what the scan knows of each file. */
  readonly #rows: FileRows;
  readonly #index: NameIndex;
  /** Indexes into {@link KINDS}, by position. */
  readonly #kinds: Uint8Array;

  /** `files` ascend by name. Null copies a file. */
  constructor(files: FileList, choiceOf: (file: ScannedFile) => Choice | null) {
    const base = FileRows.of(files);
    this.#files = base;
    this.#rows = new FileRows(base);
    this.#index = NameIndex.of(base);
    this.#kinds = new Uint8Array(files.length);
    for (const file of viewsOf(base)) {
      const choice = choiceOf(file);
      const index = this.#rows.add(choice?.row ?? uncopied(file));
      this.#kinds[index] = KINDS.indexOf(choice?.kind);
    }
  }

  /** As at the start, whatever was stored since. */
  kindOf(name: string): Choice["kind"] | undefined {
    return KINDS[this.#kinds[this.#index.find(name)] ?? 0];
  }

  /** Until something is stored. */
  get(name: string): Choice | undefined {
    const kind = this.kindOf(name);
    return kind === undefined ? undefined : { kind, row: this.#rows.at(this.#index.find(name)) as ManifestFile };
  }

  set(name: string, { kind, row }: Choice): void {
    this.store(name, row);
    this.#kinds[this.#index.find(name)] = KINDS.indexOf(kind);
  }

  /** The final row of a file. */
  store(name: string, row: ManifestFile): void {
    const position = this.#index.find(name);
    assert(position !== -1, `'${name}' was not scanned`);
    this.#rows.replace(position, row);
  }

  /**
   * Every file but those of `gone`, also if it is not copied yet, and `more`, whose rows replace those of their names.
   * What is stored later shows in this list.
   */
  list(gone: ReadonlySet<string>, more: readonly ManifestFile[] = []): FileList {
    const replaced = new Set(more.map(({ name }) => name));
    const added = [...more].sort((left, right) => compareBytes(left.name, right.name));
    const order = new Uint32Array(this.#files.length + added.length);
    let count = 0;
    let next = 0;
    const addBefore = (name: string | null): void => {
      for (let row = added[next]; row !== undefined; row = added[++next]) {
        if (name !== null && compareBytes(row.name, name) >= 0) return;
        order[count++] = this.#rows.add(row);
      }
    };
    let index = 0;
    for (const { name } of viewsOf(this.#files)) {
      if (next < added.length) addBefore(name);
      if (!gone.has(name) && !replaced.has(name)) order[count++] = index;
      index++;
    }
    addBefore(null);
    return inOrder(this.#rows, order.slice(0, count));
  }
}

/** The row of a file that is not copied yet. */
export function uncopied(file: ScannedFile): ManifestFile {
  const { name, sizeBytes, modifiedAtS, mode, user, group } = file;
  return {
    name,
    sizeBytes,
    sizeRepoBytes: sizeBytes,
    sha1: sizeBytes === 0 ? SHA1_EMPTY : "",
    modifiedAtS,
    mode,
    user,
    group,
  };
}
