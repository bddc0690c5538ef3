/**
 * Names and numbers of everything in the mounted directory. The names are those of the upper directory: creating,
 * renaming and removing change it, so that it needs no list of what is gone.
 */
import type { AccountIds } from "../../local/actAs";
import { constants, lstatSync, readdirSync, readlinkSync } from "../../local/nodeFiles";
import { utf8 } from "../../base/bytes";
import { ROOT_NODE, Refusal } from "../../fuse/kernelProtocol";
import type { Attributes, FileKind } from "../../fuse/reply";
import type { Journal } from "./journal";
import { StoredFile } from "./storedFile";

interface Entry {
  readonly parent: Node;
  readonly name: string;
}

export interface Node {
  readonly id: number;
  readonly kind: FileKind;
  mode: number;
  modifiedMs: number;
  /** Null for the root, and once its last name was removed. */
  entry: Entry | null;
  /** Further names of a file. */
  readonly links: Entry[];
  /** Answers to the kernel that it has not forgotten. */
  lookups: number;
  /** Null unless it is a directory. */
  readonly children: Map<string, Node> | null;
  /** Null unless it is a file. */
  readonly file: StoredFile | null;
  /** Empty unless it is a link. */
  readonly target: string;
}

/** Account of everything that is shown. */
export type Account = AccountIds;

const MODE_BITS = 0o7777;

export const CONTROL = "global/pg_control";
/** Nobody can start a server in the upper directory itself, which has holes. */
export const HIDDEN_CONTROL = "global/pg_control.opening";

/** Name in the data directory. Tablespaces are directories where a restore has links. */
export function pathInData(name: string): string {
  return name.startsWith("pg_data/") ? name.slice("pg_data/".length) : name;
}

export class Tree {
  readonly root: Node;
  readonly upper: string;
  readonly nowMs: () => number;
  readonly #journal: Journal;
  readonly #nodes = new Map<number, Node>();
  #nextId = ROOT_NODE;

  /** Reads the names of the upper directory. */
  constructor(upper: string, journal: Journal, nowMs: () => number) {
    this.upper = upper;
    this.#journal = journal;
    this.nowMs = nowMs;
    this.root = this.#make("directory", lstatSync(upper));
    this.#load(this.root, upper);
  }

  /** @throws Refusal for a number that the kernel should have forgotten */
  get(id: number): Node {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new Refusal("ESTALE");
    return node;
  }

  find(path: string): Node | null {
    let node: Node | undefined = this.root;
    for (const name of path.split("/")) node = node?.children?.get(name);
    return node ?? null;
  }

  /** In the upper directory. @throws Refusal for a removed one */
  pathOf(node: Node): string {
    const names: string[] = [];
    let at = node;
    while (at.entry !== null) {
      names.unshift(at.entry.name);
      at = at.entry.parent;
    }
    if (at !== this.root) throw new Refusal("ENOENT");
    return this.#upperPath(names.join("/"));
  }

  /** Path of a name in a directory, whether it exists or not. @throws Refusal */
  pathIn(directory: Node, name: string): string {
    const parent = this.pathOf(directory);
    const path = parent === this.upper ? name : `${parent.slice(this.upper.length + 1)}/${name}`;
    if (path === HIDDEN_CONTROL) throw new Refusal("EPERM");
    return this.#upperPath(path);
  }

  /** An entry that was just made in the upper directory. */
  add(
    directory: Node,
    name: string,
    kind: FileKind,
    details: { readonly mode: number; readonly target?: string },
  ): Node {
    const now = { mode: details.mode, mtimeMs: this.nowMs(), size: 0 };
    return this.#attach(directory, name, this.#make(kind, now, details.target));
  }

  /** Another name of a file, which was just made in the upper directory. */
  link(node: Node, directory: Node, name: string): void {
    if (node.entry !== null) node.links.push(node.entry);
    this.#attach(directory, name, node);
  }

  /** A name that was removed, or taken by another file. */
  detach(directory: Node, name: string): void {
    const node = directory.children?.get(name);
    directory.children?.delete(name);
    if (node === undefined) return;
    const isName = (entry: Entry | null): boolean => entry?.parent === directory && entry.name === name;
    if (isName(node.entry)) node.entry = node.links.pop() ?? null;
    else node.links.splice(node.links.findIndex(isName), 1);
    this.forget(node, 0);
  }

  move(from: Entry, directory: Node, name: string): void {
    const node = from.parent.children?.get(from.name);
    if (node === undefined) return;
    this.link(node, directory, name);
    this.detach(from.parent, from.name);
  }

  /** A removed node lives until the kernel forgets it. */
  forget(node: Node, count: number): void {
    node.lookups -= count;
    if (node.lookups <= 0 && node.entry === null && node !== this.root && (node.file?.opens ?? 0) === 0)
      this.#nodes.delete(node.id);
  }

  *files(): Iterable<StoredFile> {
    for (const { file } of this.#nodes.values()) if (file !== null) yield file;
  }

  #attach(directory: Node, name: string, node: Node): Node {
    directory.children?.set(name, node);
    node.entry = { parent: directory, name };
    return node;
  }

  #upperPath(path: string): string {
    return path === "" ? this.upper : `${this.upper}/${path === CONTROL ? HIDDEN_CONTROL : path}`;
  }

  #make(
    kind: FileKind,
    info: { readonly mode: number; readonly mtimeMs: number; readonly size: number },
    target = "",
  ): Node {
    const node: Node = {
      id: this.#nextId++,
      kind,
      mode: info.mode & MODE_BITS,
      modifiedMs: info.mtimeMs,
      entry: null,
      links: [],
      lookups: 0,
      children: kind === "directory" ? new Map() : null,
      file: kind === "file" ? new StoredFile(() => this.pathOf(node), info.size, this.#journal) : null,
      target,
    };
    this.#nodes.set(node.id, node);
    return node;
  }

  #load(directory: Node, path: string): void {
    for (const stored of readdirSync(path)) {
      const at = `${path}/${stored}`;
      const info = lstatSync(at);
      const type = info.mode & constants.S_IFMT;
      const name = at === `${this.upper}/${HIDDEN_CONTROL}` ? "pg_control" : stored;
      if (type === constants.S_IFDIR) this.#load(this.#attach(directory, name, this.#make("directory", info)), at);
      else if (type === constants.S_IFLNK) this.#attach(directory, name, this.#make("link", info, readlinkSync(at)));
      else if (type === constants.S_IFREG) this.#attach(directory, name, this.#make("file", info));
    }
  }
}

export function attributesOf(node: Node, { gid, uid }: Account): Attributes {
  const { children, file, id, kind, links, mode, modifiedMs, target } = node;
  return {
    node: id,
    kind,
    sizeBytes: file?.sizeBytes ?? utf8(target).length,
    modifiedMs,
    mode,
    linkCount: node.entry === null && id !== ROOT_NODE ? 0 : children === null ? 1 + links.length : 2,
    uid,
    gid,
  };
}
