/** An upper directory with a backup of made-up pages behind it, driven by the kernel's requests. */
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";
import type { ManifestFile } from "../../../../runtime/format/repository/manifest";
import type { FileRequest } from "../../../../runtime/fuse/answerRequest";
import { Hydration, type HydrationParts } from "../../../../runtime/operations/open/hydration";
import { type Fetch, OpenFiles } from "../../../../runtime/operations/open/openFiles";
import { PageCache } from "../../../../runtime/operations/open/pageCache";
import { PAGE_BYTES } from "../../../../runtime/operations/open/pageSet";
import { openUpper, type UpperDirectory } from "../../../../runtime/operations/open/upperDirectory";
import { testContext, type TestContext } from "../../../harness/context";
import type { OpenState } from "../../../../runtime/operations/open/openLocation";

/** To the end of the WAL. */
export const RECOVERY: OpenState["recovery"] = {
  type: "default",
  target: undefined,
  targetAction: "promote",
  targetExclusive: false,
  targetTimeline: undefined,
  archiveMode: "off",
  options: {},
};

export const OPENED = {
  label: "20261120-020000F",
  repo: "repo1",
  systemId: "7",
  pgVersion: "18",
  sizeBytes: 1,
  rows: "",
  verified: "",
  tablespaces: [],
} satisfies OpenState["backup"];

export const BOOT = "6c1a";

/** Content of a file of the backup: each byte depends on file and position. */
export function originBytes(index: number, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes; at++) bytes[at] = (index * 31 + Math.floor(at / PAGE_BYTES) * 7 + (at % 251)) & 0xff;
  return bytes;
}

function rowOf(name: string, sizeBytes: number): ManifestFile {
  return {
    name: `pg_data/${name}`,
    sizeBytes,
    sizeRepoBytes: sizeBytes,
    sha1: "",
    modifiedAtS: 1,
    mode: 0o600,
    user: null,
    group: null,
  };
}

export class UpperWorld {
  readonly folder = mkdtempSync(join(tmpdir(), "pgb-upper-"));
  readonly rows: readonly ManifestFile[];
  /** Fetches fail while it is set. */
  isAway = false;
  fetchCount = 0;
  boot = BOOT;
  upper: UpperDirectory;
  files: OpenFiles;
  readonly failures: unknown[] = [];
  /** As the lock of the process that serves the files. */
  readonly lock = { fd: openSync(join(this.folder, "serving.lock"), "w") };
  /** The process dies when it next syncs the journal. */
  diesAtSync = false;
  /** Bytes of the journal that a loss of power leaves. */
  #syncedBytes = 0;
  readonly #fetch: Fetch = {
    pages: async (file, origin, runs) => {
      this.fetchCount++;
      await Promise.resolve();
      if (this.isAway) throw new Error("the repository is away");
      const bytes = originBytes(origin.index, origin.row.sizeBytes);
      // One page more than was asked for, as super blocks bring it.
      for (const [first, last] of runs)
        file.fill(origin, first * PAGE_BYTES, bytes.subarray(first * PAGE_BYTES, (last + 2) * PAGE_BYTES));
    },
    readTo: () => {},
  };

  constructor(sizes: Readonly<Record<string, number>>) {
    this.rows = Object.entries(sizes).map(([name, sizeBytes]) => rowOf(name, sizeBytes));
    mkdirSync(join(this.folder, "upper/base"), { recursive: true });
    writeFileSync(join(this.folder, "journal"), "");
    for (const { name, sizeBytes } of this.rows) {
      const path = join(this.folder, "upper", name.slice("pg_data/".length));
      closeSync(openSync(path, "w"));
      truncateSync(path, sizeBytes);
    }
    [this.upper, this.files] = this.#open();
  }

  /** As after SIGKILL: nothing is said good-bye to. */
  reopen(): void {
    for (const file of this.upper.tree.files()) {
      file.opens = 0;
      file.closeIdle();
    }
    this.upper.close();
    [this.upper, this.files] = this.#open();
  }

  /** Without the entries about pages that were not on the disk. The others are intents, or repeat what a file shows. */
  losePower(): void {
    const path = join(this.folder, "journal");
    const text = readFileSync(path, "latin1");
    const lost = text
      .slice(this.#syncedBytes)
      .split("\n")
      .filter((line) => !/ (fetched|present|durable|dropped) /.test(line));
    writeFileSync(path, `${text.slice(0, this.#syncedBytes)}\n${lost.join("\n")}`);
    this.boot = `${this.boot}0`;
    this.reopen();
  }

  /** Drops every page that may be dropped. */
  async dropAll(): Promise<void> {
    const cache = new PageCache(
      { ...this.upper, folder: this.folder, lock: this.lock, sizeBytesMax: 0 },
      testContext(),
    );
    await cache.shrink();
    await cache.close();
  }

  /** Garbage in pages that were not on the disk, as after a loss of power. */
  spoil(path: string, pages: readonly number[]): void {
    const fd = openSync(join(this.folder, "upper", path), "r+");
    for (const page of pages) writeSync(fd, Buffer.alloc(PAGE_BYTES, 0xee), 0, PAGE_BYTES, page * PAGE_BYTES);
    closeSync(fd);
  }

  /** What the upper directory has. */
  stored(path: string): Buffer {
    return readFileSync(join(this.folder, "upper", path));
  }

  nodeOf(path: string): number {
    const node = this.upper.tree.find(path);
    if (node === null) throw new Error(`'${path}' does not exist`);
    return node.id;
  }

  async ask(request: FileRequest, node: number): Promise<Uint8Array> {
    return this.files.handle(request, node);
  }

  async read(path: string, offsetBytes = 0, sizeBytes = 1 << 20): Promise<Buffer> {
    const request = { kind: "read", offsetBytes, sizeBytes } as const;
    const node = this.nodeOf(path);
    const target = Buffer.alloc(sizeBytes);
    try {
      // As the device does it.
      const nowBytes = this.files.readNow(request, node, target, 0);
      if (nowBytes !== null) return target.subarray(0, nowBytes);
    } catch {
      // The same request, which says why.
    }
    return Buffer.from(await this.ask(request, node));
  }

  async write(path: string, offsetBytes: number, data: Uint8Array): Promise<void> {
    await this.ask({ kind: "write", offsetBytes, data }, this.nodeOf(path));
  }

  async truncate(path: string, sizeBytes: number): Promise<void> {
    await this.ask({ kind: "setattr", changes: { sizeBytes } }, this.nodeOf(path));
  }

  /** Everything behind the readers; rejects only when it is aborted. */
  hydration(parts: Partial<HydrationParts> = {}, ctx: TestContext = testContext()): Hydration {
    const { journal, targets } = this.upper;
    return new Hydration(
      {
        targets,
        journal,
        behind: ({ file, origin }, runs) => this.#fetch.pages(file, origin, runs),
        isAwaited: () => false,
        sync: () => Promise.resolve(),
        freeBytes: () => Promise.resolve(Number.MAX_SAFE_INTEGER),
        ...parts,
      },
      ctx,
    );
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #open(): [UpperDirectory, OpenFiles] {
    const location = { upper: join(this.folder, "upper"), journal: join(this.folder, "journal") };
    const upper = openUpper(location, this.rows, this.boot, () => 1000);
    // It begins with a new file, which is on the disk.
    this.#syncedBytes = statSync(location.journal).size;
    const sync = upper.journal.sync.bind(upper.journal);
    upper.journal.sync = async () => {
      const { size } = statSync(location.journal);
      if (this.diesAtSync) throw new Error("killed");
      await sync();
      this.#syncedBytes = Math.max(this.#syncedBytes, size);
    };
    const account = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    return [
      upper,
      new OpenFiles(upper.tree, upper.journal, account, this.#fetch, (_, error) => this.failures.push(error), true),
    ];
  }
}

/** Makes worlds, which are removed after each test of the calling file. */
export function upperWorlds(): (sizes: Readonly<Record<string, number>>) => UpperWorld {
  const worlds: UpperWorld[] = [];
  afterEach(() => {
    for (const world of worlds.splice(0)) world.remove();
  });
  return (sizes) => {
    const made = new UpperWorld(sizes);
    worlds.push(made);
    return made;
  };
}
