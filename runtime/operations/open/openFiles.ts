/**
 * The mounted directory: answers the kernel's requests from the upper directory, and has missing pages fetched first.
 *
 * Everything belongs to one account, the data directory's: it is the only one besides root that may enter.
 */
import {
  chmodSync,
  closeSync,
  constants,
  linkSync,
  mkdirSync,
  open,
  openSync,
  renameSync,
  rmdirSync,
  statfsSync,
  symlinkSync,
  unlinkSync,
} from "../../local/nodeFiles";
import { utf8 } from "../../base/bytes";
import type { FileRead, FileRequest, FileSystem } from "../../fuse/answerRequest";
import { NAME_BYTES_MAX, Refusal, TRANSFER_BYTES_MAX } from "../../fuse/kernelProtocol";
import {
  type DirectoryEntry,
  encodeAttributes,
  encodeCreate,
  encodeEntries,
  encodeEntry,
  encodeNoEntry,
  encodeOpen,
  encodeSpace,
  encodeWritten,
  NOTHING,
} from "../../fuse/reply";
import type { AttributeChanges, RequestKind } from "../../fuse/request";
import type { Journal } from "./journal";
import { PAGE_BYTES, type PageRun } from "./pageSet";
import type { Origin, StoredFile } from "./storedFile";
import { type Account, attributesOf, type Node, type Tree } from "./tree";

export interface Fetch {
  /** Fills pages of a file from the backup, verified. @throws BackupError when no repository has them */
  pages(file: StoredFile, origin: Origin, runs: readonly PageRun[]): Promise<void>;
  /** A reader reads these pages: what follows may be fetched before it asks. */
  readTo(file: StoredFile, origin: Origin, run: PageRun): void;
}

type Answer = Uint8Array | Promise<Uint8Array>;
type Of<K extends RequestKind> = Extract<FileRequest, { readonly kind: K }>;
type Handlers = { readonly [K in FileRequest["kind"]]: (request: Of<K>, node: Node) => Answer };

export class OpenFiles implements FileSystem {
  readonly isWriteBack: boolean;
  readonly #tree: Tree;
  readonly #journal: Journal;
  readonly #account: Account;
  readonly #fetch: Fetch;
  readonly #report: (text: string, error: unknown) => void;
  /** Directories that are being listed, as they were at the beginning. */
  readonly #listings = new Map<number, readonly DirectoryEntry[]>();
  #nextHandle = 1;

  constructor(
    tree: Tree,
    journal: Journal,
    account: Account,
    fetch: Fetch,
    report: (text: string, error: unknown) => void,
    isWriteBack: boolean,
  ) {
    this.isWriteBack = isWriteBack;
    this.#tree = tree;
    this.#journal = journal;
    this.#account = account;
    this.#fetch = fetch;
    this.#report = report;
  }

  handle(request: FileRequest, id: number): Answer {
    if (request.kind === "forget") return this.#forget(request);
    const handler = this.#handlers[request.kind] as (request: FileRequest, node: Node) => Answer;
    return handler(request, this.#tree.get(id));
  }

  readNow(request: FileRead, id: number, target: Uint8Array, at: number): number | null {
    const file = this.#fileOf(this.#tree.get(id));
    if (this.#missingOf(file, request).length > 0) return null;
    this.#noteRead(file, request);
    return this.#readInto(file, request, target, at);
  }

  failed(error: unknown, request: FileRequest, id: number): void {
    let path = `node ${id}`;
    try {
      path = this.#tree.pathOf(this.#tree.get(id)).slice(this.#tree.upper.length + 1);
    } catch {
      // A removed file has no name.
    }
    this.#report(`${request.kind} '${path}'`, error);
  }

  readonly #handlers: Handlers = {
    lookup: ({ name }, node) => {
      const child = this.#childrenOf(node).get(name);
      return child === undefined ? encodeNoEntry() : this.#entry(child);
    },
    forget: (request) => this.#forget(request),
    getattr: (_, node) => encodeAttributes(this.#attributes(node)),
    setattr: ({ changes }, node) => this.#change(node, changes),
    readlink: (_, node) => utf8(node.target),
    symlink: ({ name, target }, node) => {
      symlinkSync(target, this.#newPath(node, name));
      return this.#entry(this.#tree.add(node, name, "link", { mode: 0o777, target }));
    },
    link: ({ fromNode, name }, node) => {
      const from = this.#tree.get(fromNode);
      // Its missing pages are bound to its only name.
      if (from.file === null || from.file.origin !== null) throw new Refusal("EPERM");
      linkSync(this.#tree.pathOf(from), this.#newPath(node, name));
      this.#tree.link(from, node, name);
      return this.#entry(from);
    },
    mkdir: ({ mode, name }, node) => {
      const path = this.#newPath(node, name);
      mkdirSync(path, { mode });
      // Without the process's own mask.
      chmodSync(path, mode);
      return this.#entry(this.#tree.add(node, name, "directory", { mode }));
    },
    create: ({ mode, name }, node) => this.#create(node, name, mode),
    unlink: ({ name }, node) => this.#unlink(node, name),
    rmdir: ({ name }, node) => {
      const child = this.#child(node, name);
      if (child.children === null) throw new Refusal("ENOTDIR");
      rmdirSync(this.#tree.pathOf(child));
      this.#tree.detach(node, name);
      return NOTHING;
    },
    rename: (request, node) => this.#rename(request, node),
    open: (_, node) => {
      this.#fileOf(node).opens++;
      return encodeOpen(node.id, true);
    },
    read: (request, node) => this.#read(this.#fileOf(node), request),
    write: ({ data, offsetBytes }, node) => this.#write(node, offsetBytes, data),
    statfs: () => this.#space(),
    release: (_, node) => {
      const file = this.#fileOf(node);
      file.opens--;
      file.closeIdle();
      this.#tree.forget(node, 0);
      return NOTHING;
    },
    fsync: async (_, node) => {
      await this.#fileOf(node).sync();
      return NOTHING;
    },
    fsyncdir: (_, node) => this.#syncDirectory(node),
    opendir: (_, node) => {
      this.#listings.set(this.#nextHandle, this.#listingOf(node));
      return encodeOpen(this.#nextHandle++, false);
    },
    readdir: ({ handle, position, sizeBytes }) =>
      encodeEntries(this.#listings.get(handle) ?? [], position, Math.min(sizeBytes, TRANSFER_BYTES_MAX)),
    releasedir: ({ handle }) => {
      this.#listings.delete(handle);
      return NOTHING;
    },
    fallocate: ({ mode, offsetBytes, sizeBytes }, node) => {
      // Only growth: nothing is reserved, and no hole is made.
      if (mode !== 0) throw new Refusal("EOPNOTSUPP");
      const file = this.#fileOf(node);
      return file.sizeBytes >= offsetBytes + sizeBytes ? NOTHING : this.#resize(node, offsetBytes + sizeBytes);
    },
  };

  #entry(node: Node): Uint8Array {
    node.lookups++;
    return encodeEntry(this.#attributes(node));
  }

  #attributes(node: Node): ReturnType<typeof attributesOf> {
    return attributesOf(node, this.#account);
  }

  #childrenOf(node: Node): Map<string, Node> {
    if (node.children === null) throw new Refusal("ENOTDIR");
    return node.children;
  }

  #child(directory: Node, name: string): Node {
    const child = this.#childrenOf(directory).get(name);
    if (child === undefined) throw new Refusal("ENOENT");
    return child;
  }

  #fileOf({ file }: Node): StoredFile {
    if (file === null) throw new Refusal("EISDIR");
    return file;
  }

  #newPath(directory: Node, name: string): string {
    if (utf8(name).length > NAME_BYTES_MAX) throw new Refusal("ENAMETOOLONG");
    if (this.#childrenOf(directory).has(name)) throw new Refusal("EEXIST");
    return this.#tree.pathIn(directory, name);
  }

  #forget({ nodes }: Of<"forget">): Uint8Array {
    for (const { count, node } of nodes) {
      try {
        this.#tree.forget(this.#tree.get(node), count);
      } catch {
        // Forgotten already.
      }
    }
    return NOTHING;
  }

  #create(directory: Node, name: string, mode: number): Uint8Array {
    const path = this.#newPath(directory, name);
    closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, mode));
    chmodSync(path, mode);
    const node = this.#tree.add(directory, name, "file", { mode });
    node.lookups++;
    this.#fileOf(node).opens++;
    return encodeCreate(this.#attributes(node));
  }

  async #change(node: Node, changes: AttributeChanges): Promise<Uint8Array> {
    const { gid, mode, modified, sizeBytes, uid } = changes;
    if ((uid ?? this.#account.uid) !== this.#account.uid || (gid ?? this.#account.gid) !== this.#account.gid)
      throw new Refusal("EPERM");
    if (sizeBytes !== undefined) await this.#resize(node, sizeBytes);
    if (mode !== undefined && node.kind !== "link") {
      chmodSync(this.#tree.pathOf(node), mode);
      node.mode = mode;
    }
    if (modified !== undefined) node.modifiedMs = modified === "now" ? this.#tree.nowMs() : modified;
    return encodeAttributes(this.#attributes(node));
  }

  async #resize(node: Node, sizeBytes: number): Promise<Uint8Array> {
    await this.#fileOf(node).truncate(sizeBytes);
    node.modifiedMs = this.#tree.nowMs();
    return NOTHING;
  }

  #read(file: StoredFile, request: FileRead): Answer {
    const answer = (): Uint8Array => {
      const target = Buffer.allocUnsafe(Math.min(request.sizeBytes, TRANSFER_BYTES_MAX));
      return target.subarray(0, this.#readInto(file, request, target, 0));
    };
    // Before it waits, so that what follows is fetched at the same time.
    this.#noteRead(file, request);
    return this.#once(file, () => this.#missingOf(file, request), answer);
  }

  #noteRead(file: StoredFile, { offsetBytes, sizeBytes }: FileRead): void {
    const endBytes = Math.min(offsetBytes + sizeBytes, file.sizeBytes);
    if (file.origin === null || endBytes <= offsetBytes) return;
    const run = [Math.floor(offsetBytes / PAGE_BYTES), Math.ceil(endBytes / PAGE_BYTES) - 1] as const;
    this.#fetch.readTo(file, file.origin, run);
  }

  #missingOf(file: StoredFile, { offsetBytes, sizeBytes }: FileRead): readonly PageRun[] {
    return file.missingIn(offsetBytes, Math.min(sizeBytes, file.sizeBytes - offsetBytes));
  }

  #readInto(file: StoredFile, { offsetBytes, sizeBytes }: FileRead, target: Uint8Array, at: number): number {
    const left = Math.min(sizeBytes, TRANSFER_BYTES_MAX, file.sizeBytes - offsetBytes);
    if (left <= 0) return 0;
    return file.read(offsetBytes, target, at, left);
  }

  #write(node: Node, offsetBytes: number, data: Uint8Array): Answer {
    const file = this.#fileOf(node);
    const missing = (): readonly PageRun[] => [
      ...file.missingEdges(offsetBytes, data.length),
      ...file.leavingIn(offsetBytes, data.length),
    ];
    // One that waits must not change with the next request.
    const own = missing().length === 0 ? data : Buffer.from(data);
    const answer = (): Uint8Array => {
      file.write(offsetBytes, own);
      node.modifiedMs = this.#tree.nowMs();
      return encodeWritten(own.length);
    };
    return this.#once(file, missing, answer);
  }

  /** Answers when nothing is missing: at once, or after a fetch, whose pages may be dropped before their turn. */
  #once(file: StoredFile, missing: () => readonly PageRun[], answer: () => Uint8Array): Answer {
    return missing().length === 0 ? answer() : this.#need(file, missing).then(() => this.#once(file, missing, answer));
  }

  /** Until nothing is missing. */
  async #need(file: StoredFile, missing: () => readonly PageRun[]): Promise<void> {
    for (let runs = missing(); runs.length > 0; runs = missing()) {
      const { origin } = file;
      const left = file.untilLeft(runs);
      if (left !== null) await left;
      else if (origin !== null) await this.#fetch.pages(file, origin, runs);
    }
  }

  /** The whole file, so that it no longer needs the backup. */
  async #own(file: StoredFile): Promise<void> {
    const { origin } = file;
    if (origin === null) return;
    await file.keptWhile(async () => {
      await this.#need(file, () => origin.pages.allMissing());
      await file.own();
    });
  }

  /** The journal knows first: a file of the same name must not get the removed one's pages. */
  async #unlink(directory: Node, name: string): Promise<Uint8Array> {
    const node = this.#child(directory, name);
    if (node.children !== null) throw new Refusal("EISDIR");
    const { file } = node;
    const index = file?.origin?.index;
    file?.holdOpen();
    if (index !== undefined) this.#journal.append({ kind: "remove", file: index });
    try {
      if (index !== undefined) await this.#journal.sync();
      unlinkSync(this.#tree.pathIn(directory, name));
    } catch (error) {
      if (index !== undefined) this.#journal.conclude({ kind: "kept", file: index });
      throw error;
    }
    if (index !== undefined) this.#journal.conclude({ kind: "removed", file: index });
    if (node.links.length === 0) file?.removed();
    this.#tree.detach(directory, name);
    return NOTHING;
  }

  /** Both files leave the backup first, whole: then the rename is the file system's own, and as atomic. */
  async #rename({ mayReplace, name, toName, toNode }: Of<"rename">, directory: Node): Promise<Uint8Array> {
    const node = this.#child(directory, name);
    const toDirectory = this.#tree.get(toNode);
    const target = this.#childrenOf(toDirectory).get(toName);
    if (target !== undefined && !mayReplace) throw new Refusal("EEXIST");
    if (target === node) return NOTHING;
    // Files in it are bound by their names.
    if (node.children !== null && hasOrigins(node)) throw new Refusal("EACCES");
    for (const file of [node.file, target?.file]) if (file != null) await this.#own(file);
    target?.file?.holdOpen();
    renameSync(this.#tree.pathIn(directory, name), this.#tree.pathIn(toDirectory, toName));
    if (target !== undefined) this.#tree.detach(toDirectory, toName);
    this.#tree.move({ parent: directory, name }, toDirectory, toName);
    return NOTHING;
  }

  async #syncDirectory(node: Node): Promise<Uint8Array> {
    const handle = await open(this.#tree.pathOf(node), constants.O_RDONLY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    await this.#journal.sync();
    return NOTHING;
  }

  #listingOf(node: Node): DirectoryEntry[] {
    const parent = node.entry?.parent ?? node;
    const children = [...this.#childrenOf(node)].map(([name, { id, kind }]) => ({ name, node: id, kind }));
    return [
      { name: ".", node: node.id, kind: "directory" },
      { name: "..", node: parent.id, kind: "directory" },
      ...children,
    ];
  }

  #space(): Uint8Array {
    const { bavail, bfree, blocks, bsize, ffree, files } = statfsSync(this.#tree.upper);
    return encodeSpace({
      blockBytes: bsize,
      blocks,
      freeBlocks: bfree,
      availableBlocks: bavail,
      files,
      freeFiles: ffree,
    });
  }
}

function hasOrigins({ children, file }: Node): boolean {
  if (file !== null) return file.origin !== null;
  return [...(children?.values() ?? [])].some(hasOrigins);
}
