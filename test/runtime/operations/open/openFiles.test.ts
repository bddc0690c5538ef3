import fs, {
  chmodSync,
  chownSync,
  existsSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import * as fc from "../../../harness/properties";
import { describe, expect, test, vi } from "vitest";
import { Refusal } from "../../../../runtime/fuse/kernelProtocol";
import { PAGE_BYTES } from "../../../../runtime/operations/open/pageSet";
import { isRoot } from "../../../../tools/parts/users";
import { originBytes, UpperWorld, upperWorlds } from "./upperWorld";

const world = upperWorlds();

const SIZE = 5 * PAGE_BYTES + 1000;

describe("an opened directory", () => {
  test("a page that cannot be fetched is an error, then the backup's, and never zeros", async () => {
    const made = world({ "base/1": SIZE });
    made.isAway = true;
    await expect(made.read("base/1")).rejects.toThrow("away");
    made.isAway = false;
    expect(await made.read("base/1")).toEqual(originBytes(0, SIZE));
  });

  test("a write into a part of a page keeps the backup's other bytes, and fetched pages never cover a write", async () => {
    const made = world({ "base/1": SIZE });
    const expected = originBytes(0, SIZE);
    await made.write("base/1", PAGE_BYTES + 10, Buffer.from("changed"));
    expected.write("changed", PAGE_BYTES + 10);
    const reading = made.read("base/1");
    await made.write("base/1", 3 * PAGE_BYTES, Buffer.alloc(PAGE_BYTES, 1));
    expected.fill(1, 3 * PAGE_BYTES, 4 * PAGE_BYTES);
    await reading;
    expect(await made.read("base/1")).toEqual(expected);
  });

  test("behind a truncation are zeros, not the backup's pages, also after a kill", async () => {
    const made = world({ "base/1": SIZE });
    await made.truncate("base/1", PAGE_BYTES + 5);
    await made.truncate("base/1", SIZE);
    const expected = Buffer.alloc(SIZE);
    originBytes(0, SIZE).copy(expected, 0, 0, PAGE_BYTES + 5);
    const running = world({ "base/1": SIZE });
    await running.truncate("base/1", PAGE_BYTES + 5);
    await running.truncate("base/1", SIZE);
    expect(await running.read("base/1")).toEqual(expected);
    made.reopen();
    expect(await made.read("base/1")).toEqual(expected);
  });

  test("a new file of a removed one's name holds nothing of the backup, also after a kill", async () => {
    const made = world({ "base/1": SIZE });
    const directory = made.nodeOf("base");
    await made.ask({ kind: "unlink", name: "1" }, directory);
    // The intent comes first: a kill between journal and unlink must not bring the pages back.
    expect(readFileSync(join(made.folder, "journal"), "latin1")).toMatch(/ remove 0\n.* removed 0\n/);
    await made.ask({ kind: "create", name: "1", mode: 0o600 }, directory);
    await made.truncate("base/1", SIZE);
    made.reopen();
    expect(await made.read("base/1")).toEqual(Buffer.alloc(SIZE));
  });

  test("a renamed file and the one that it replaces are whole before, and belong to the backup no more", async () => {
    const made = world({ "base/1": SIZE, "base/2": SIZE });
    const directory = made.nodeOf("base");
    await made.ask({ kind: "rename", name: "1", toNode: directory, toName: "2", mayReplace: true }, directory);
    made.isAway = true;
    expect(await made.read("base/2")).toEqual(originBytes(0, SIZE));
    made.reopen();
    expect(await made.read("base/2")).toEqual(originBytes(0, SIZE));
    expect(made.upper.tree.find("base/1")).toBeNull();
  });

  test("a removed file can be read as long as it is open", async () => {
    const made = world({ "base/1": SIZE });
    const node = made.nodeOf("base/1");
    await made.ask({ kind: "open" }, node);
    await made.ask({ kind: "unlink", name: "1" }, made.nodeOf("base"));
    expect(Buffer.from(await made.ask({ kind: "read", offsetBytes: 0, sizeBytes: SIZE }, node))).toEqual(
      originBytes(0, SIZE),
    );
    await made.ask({ kind: "release" }, node);
    await expect(made.ask({ kind: "getattr" }, node)).rejects.toThrow(Refusal);
  });

  test("an unfinished unlink and an unfinished truncation are carried out at the next start", async () => {
    const made = world({ "base/1": SIZE, "base/2": SIZE });
    made.upper.journal.append({ kind: "remove", file: 0 });
    made.upper.journal.append({ kind: "cut", file: 1, sizeBytes: PAGE_BYTES });
    made.reopen();
    expect(made.upper.tree.find("base/1")).toBeNull();
    expect(await made.read("base/2")).toEqual(originBytes(1, PAGE_BYTES));
  });

  // claim: docs/open.md: an unlink or a truncation that a kill has cut short is carried out once
  test("an unfinished step is carried out once: what comes later at its name stays at every further start", async () => {
    const made = world({ "base/1": SIZE, "base/2": SIZE });
    made.upper.journal.append({ kind: "remove", file: 0 });
    made.upper.journal.append({ kind: "cut", file: 1, sizeBytes: PAGE_BYTES });
    made.reopen();
    const rows = Buffer.alloc(PAGE_BYTES, 7);
    await made.ask({ kind: "create", name: "1", mode: 0o600 }, made.nodeOf("base"));
    for (const path of ["base/1", "base/2"]) {
      await made.write(path, 3 * PAGE_BYTES, rows);
      await made.ask({ kind: "fsync" }, made.nodeOf(path));
    }
    for (const die of [() => made.reopen(), () => made.losePower()]) {
      die();
      const grown = Buffer.concat([originBytes(1, PAGE_BYTES), Buffer.alloc(2 * PAGE_BYTES), rows]);
      expect((await made.read("base/2")).equals(grown)).toBe(true);
      expect((await made.read("base/1")).equals(Buffer.concat([Buffer.alloc(3 * PAGE_BYTES), rows]))).toBe(true);
    }
  });

  test("an unlink or a truncation that the journal cannot keep is refused, and is not carried out later", async () => {
    const made = world({ "base/1": SIZE, "base/2": SIZE });
    made.diesAtSync = true;
    await expect(made.ask({ kind: "unlink", name: "1" }, made.nodeOf("base"))).rejects.toThrow("killed");
    await expect(made.truncate("base/2", PAGE_BYTES)).rejects.toThrow("killed");
    made.diesAtSync = false;
    for (const die of [() => {}, () => made.reopen(), () => made.losePower()]) {
      die();
      expect((await made.read("base/1")).equals(originBytes(0, SIZE))).toBe(true);
      expect((await made.read("base/2")).equals(originBytes(1, SIZE))).toBe(true);
    }
  });

  // claim: docs/open.md: a full disk refuses writes, and loses none that was acknowledged
  test.each(["a fetched page", "a missing page"])("a write to %s on a full disk is refused, or kept", async (which) => {
    const made = world({ "base/1": SIZE });
    if (which === "a fetched page") await made.read("base/1");
    const append = vi.spyOn(made.upper.journal, "append").mockImplementationOnce(() => {
      throw Object.assign(new Error("no space left on device"), { code: "ENOSPC", errno: -28 });
    });
    const rows = Buffer.alloc(PAGE_BYTES, 7);
    await expect(made.write("base/1", PAGE_BYTES, rows)).rejects.toThrow("no space");
    append.mockRestore();
    await made.write("base/1", PAGE_BYTES, rows);
    await made.ask({ kind: "fsync" }, made.nodeOf("base/1"));
    for (const die of [() => made.reopen(), () => made.losePower()]) {
      die();
      await made.dropAll();
      expect((await made.read("base/1", PAGE_BYTES, PAGE_BYTES)).equals(rows)).toBe(true);
    }
  });

  test("pages that the journal cannot call durable are synced by the next fsync", async () => {
    const made = world({ "base/1": SIZE });
    const rows = Buffer.alloc(PAGE_BYTES, 7);
    await made.write("base/1", PAGE_BYTES, rows);
    const file = made.upper.tree.find("base/1")?.file;
    const append = vi.spyOn(made.upper.journal, "append").mockImplementationOnce(() => {
      throw new Error("no space left on device");
    });
    expect(() => file?.settled()).toThrow("no space");
    append.mockRestore();
    await made.ask({ kind: "fsync" }, made.nodeOf("base/1"));
    made.losePower();
    expect((await made.read("base/1", PAGE_BYTES, PAGE_BYTES)).equals(rows)).toBe(true);
  });

  // claim: docs/open.md: a file that a loss of power took is an error of the next open
  test("a file that is missing or short without a reason in the journal is no empty table", async () => {
    for (const [text, harm] of [
      ["too short", (path: string) => truncateSync(path, SIZE - 1)],
      ["missing", (path: string) => rmSync(path)],
    ] as const) {
      const made = world({ "base/1": SIZE });
      harm(join(made.folder, "upper/base/1"));
      expect(() => made.reopen()).toThrow(`'base/1' is ${text}, and the journal does not say why`);
    }
    const cut = world({ "base/1": SIZE, "base/2": SIZE });
    await cut.truncate("base/1", 100);
    await cut.ask({ kind: "unlink", name: "2" }, cut.nodeOf("base"));
    cut.reopen();
    expect((await cut.read("base/1")).equals(originBytes(0, 100))).toBe(true);
  });

  test("a file of the server's own has two names until one is removed, as older PostgreSQL installs WAL", async () => {
    const made = world({ "base/1": SIZE });
    const directory = made.nodeOf("base");
    await made.ask({ kind: "create", name: "new", mode: 0o600 }, directory);
    const node = made.nodeOf("base/new");
    await made.write("base/new", 0, Buffer.from("segment"));
    const linked = { kind: "link", fromNode: node, name: "segment" } as const;
    const linkCount = async (): Promise<number> =>
      Buffer.from(await made.ask({ kind: "getattr" }, node)).readUInt32LE(16 + 64);
    await made.ask(linked, directory);
    await expect(made.ask(linked, directory)).rejects.toThrow("EEXIST");
    expect([await linkCount(), made.nodeOf("base/segment")]).toEqual([2, node]);
    await made.ask({ kind: "unlink", name: "new" }, directory);
    expect([await linkCount(), existsSync(join(made.folder, "upper/base/new"))]).toEqual([1, false]);
    for (const die of [() => {}, () => made.reopen()]) {
      die();
      expect((await made.read("base/segment")).toString()).toBe("segment");
    }
    await expect(made.ask({ ...linked, fromNode: made.nodeOf("base/1") }, directory)).rejects.toThrow("EPERM");
  });

  test("a file with two names keeps the other one when one is renamed or taken", async () => {
    const made = world({ "base/1": SIZE });
    const directory = made.nodeOf("base");
    for (const name of ["a", "b"]) await made.ask({ kind: "create", name, mode: 0o600 }, directory);
    await made.write("base/a", 0, Buffer.from("a"));
    await made.ask({ kind: "link", fromNode: made.nodeOf("base/a"), name: "a2" }, directory);
    const rename = { kind: "rename", toNode: directory, mayReplace: true } as const;
    await made.ask({ ...rename, name: "a", toName: "a3" }, directory);
    await made.ask({ ...rename, name: "b", toName: "a2" }, directory);
    for (const die of [() => {}, () => made.reopen()]) {
      die();
      expect((await made.read("base/a3")).toString()).toBe("a");
      expect((await made.read("base/a2")).toString()).toBe("");
      expect([made.upper.tree.find("base/a"), made.upper.tree.find("base/b")]).toEqual([null, null]);
    }
  });

  test("a link keeps the bytes of its target", async () => {
    const made = world({ "base/1": SIZE });
    const target = Buffer.from([0x2f, 0xe4, 0xff, 0x61]);
    symlinkSync(target, join(made.folder, "upper/link"));
    made.reopen();
    const node = made.nodeOf("link");
    expect(Buffer.from(await made.ask({ kind: "readlink" }, node))).toEqual(target);
    const attributes = Buffer.from(await made.ask({ kind: "getattr" }, node));
    expect(Number(attributes.readBigUInt64LE(24))).toBe(target.length);
  });

  test("a file that its owner may not write is read, filled and written all the same", async (context) => {
    const made = world({ "base/1": SIZE });
    if (!isRoot()) return context.skip();
    const path = join(made.folder, "upper/base/1");
    for (const each of [made.folder, join(made.folder, "upper"), join(made.folder, "upper/base"), path])
      chownSync(each, 65_534, 65_534);
    chmodSync(path, 0o400);
    process.seteuid?.(65_534);
    try {
      expect(await made.read("base/1")).toEqual(originBytes(0, SIZE));
      await made.write("base/1", 0, Buffer.from("new"));
    } finally {
      process.seteuid?.(0);
    }
    expect((await made.read("base/1", 0, 3)).toString()).toBe("new");
    expect(statSync(path).mode & 0o777).toBe(0o400);
  });

  test("pg_control has another name in the upper directory", async () => {
    const made = world({ "base/1": SIZE });
    const root = 1;
    await made.ask({ kind: "mkdir", name: "global", mode: 0o700 }, root);
    const directory = made.nodeOf("global");
    await made.ask({ kind: "create", name: "pg_control", mode: 0o600 }, directory);
    expect(existsSync(join(made.folder, "upper/global/pg_control"))).toBe(false);
    await expect(made.ask({ kind: "create", name: "pg_control.opening", mode: 0o600 }, directory)).rejects.toThrow(
      "EPERM",
    );
    made.reopen();
    expect(made.upper.tree.find("global/pg_control")).not.toBeNull();
  });

  test("an fsync is answered when the journal says that the pages are on the disk", async () => {
    const made = world({ "base/1": SIZE });
    await made.write("base/1", 0, Buffer.alloc(PAGE_BYTES, 1));
    expect(readFileSync(join(made.folder, "journal"), "latin1")).not.toContain("durable");
    await made.ask({ kind: "fsync" }, made.nodeOf("base/1"));
    expect(readFileSync(join(made.folder, "journal"), "latin1")).toContain("durable 0 0 0");
  });

  test("an fsync waits for an earlier one of the same file that has taken its pages over", async () => {
    const made = world({ "base/1": SIZE });
    const rows = Buffer.alloc(PAGE_BYTES, 7);
    await made.write("base/1", 0, rows);
    const { fdatasync } = fs;
    let slow = (): void => {};
    fs.fdatasync = ((fd: number, done: fs.NoParamCallback) => {
      fs.fdatasync = fdatasync;
      syncBuiltinESMExports();
      slow = () => fdatasync(fd, done);
    }) as typeof fdatasync;
    syncBuiltinESMExports();
    const first = made.ask({ kind: "fsync" }, made.nodeOf("base/1"));
    let isAnswered = false;
    const second = made.ask({ kind: "fsync" }, made.nodeOf("base/1")).then(() => {
      isAnswered = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(isAnswered).toBe(false);
    slow();
    await Promise.all([first, second]);
    made.losePower();
    expect((await made.read("base/1", 0, PAGE_BYTES)).equals(rows)).toBe(true);
  });

  // claim: docs/open.md: a sync that the disk refused once is not taken for done by the next one
  test("pages that a failed fsync may have lost are fetched or written again before the next one", async () => {
    const made = world({ "base/1": SIZE });
    const rows = Buffer.alloc(PAGE_BYTES, 7);
    await made.write("base/1", 0, rows);
    await made.read("base/1", 2 * PAGE_BYTES, PAGE_BYTES);
    const node = made.nodeOf("base/1");
    const { fdatasync, writeSync } = fs;
    const lost = new Set([0, 2, 3]);
    fs.fdatasync = ((_: number, done: fs.NoParamCallback) => {
      fs.fdatasync = fdatasync;
      // From now on the kernel has these pages in memory, and never writes them by itself.
      fs.writeSync = ((fd: number, bytes: Uint8Array, ...more: [number?, number?, number?]) => {
        if (more[2] !== undefined) lost.delete(Math.floor(more[2] / PAGE_BYTES));
        return writeSync(fd, bytes, ...more);
      }) as typeof writeSync;
      syncBuiltinESMExports();
      done(Object.assign(new Error("i/o error"), { code: "EIO", errno: -5 }));
    }) as typeof fdatasync;
    syncBuiltinESMExports();
    try {
      await expect(made.ask({ kind: "fsync" }, node)).rejects.toThrow("i/o error");
      await made.ask({ kind: "fsync" }, node);
    } finally {
      Object.assign(fs, { fdatasync, writeSync });
      syncBuiltinESMExports();
    }
    made.spoil("base/1", [...lost]);
    made.losePower();
    const expected = originBytes(0, SIZE);
    rows.copy(expected);
    expect((await made.read("base/1")).equals(expected)).toBe(true);
  });

  // claim: docs/open.md: dropped pages lose no write, and their holes are never read, whenever the process or the
  //   machine dies
  test("a dropped page is the backup's again: its hole is never read, and no write is dropped", async () => {
    const made = world({ "base/1": SIZE });
    const expected = originBytes(0, SIZE);
    await made.read("base/1");
    await made.ask({ kind: "fsync" }, made.nodeOf("base/1"));
    await made.write("base/1", 2 * PAGE_BYTES + 10, Buffer.from("changed"));
    expected.write("changed", 2 * PAGE_BYTES + 10);
    const syncing = made.ask({ kind: "fsync" }, made.nodeOf("base/1"));
    await made.dropAll();
    await syncing;
    const { origin } = made.upper.tree.find("base/1")?.file ?? {};
    expect(origin?.pages.runsIn(0, 5)).toEqual([[2, 2]]);
    expect(made.stored("base/1").subarray(0, PAGE_BYTES)).toEqual(Buffer.alloc(PAGE_BYTES));
    // What the process and the machine remember.
    for (const die of [() => made.reopen(), () => made.losePower()]) {
      die();
      made.isAway = true;
      await expect(made.read("base/1", 0, 100)).rejects.toThrow("away");
      expect(await made.read("base/1", 2 * PAGE_BYTES, PAGE_BYTES)).toEqual(
        expected.subarray(2 * PAGE_BYTES, 3 * PAGE_BYTES),
      );
      made.isAway = false;
    }
    expect(await made.read("base/1")).toEqual(expected);
  });

  test.each<readonly [string, (made: UpperWorld, sync: () => Promise<Uint8Array>) => Promise<unknown>]>([
    ["was synced", async (made, sync) => [await sync(), await made.dropAll()]],
    ["is being synced", async (made, sync) => Promise.all([sync(), made.dropAll()])],
    ["is synced afterwards", async (made, sync) => [await made.dropAll(), await sync()]],
  ])("a loss of power brings no hole of a dropped page that %s", async (_, drop) => {
    const made = world({ "base/1": SIZE });
    await made.read("base/1");
    await drop(made, () => made.ask({ kind: "fsync" }, made.nodeOf("base/1")));
    made.losePower();
    expect(await made.read("base/1")).toEqual(originBytes(0, SIZE));
  });

  test("pages behind a cut are no longer the backup's, and none is dropped", async () => {
    const made = world({ "base/1": SIZE });
    await made.read("base/1");
    await made.truncate("base/1", PAGE_BYTES);
    await made.truncate("base/1", SIZE);
    await made.dropAll();
    const expected = Buffer.alloc(SIZE);
    originBytes(0, PAGE_BYTES).copy(expected);
    expect(await made.read("base/1")).toEqual(expected);
    expect(made.upper.tree.find("base/1")?.file?.origin?.clean.presentCount).toBe(1);
  });

  test("no page is dropped while its file is cut: what is written behind the cut later would be dropped too", async () => {
    const made = world({ "base/1": SIZE });
    await made.read("base/1");
    const cutting = made.truncate("base/1", PAGE_BYTES);
    await made.dropAll();
    await cutting;
    await made.write("base/1", 3 * PAGE_BYTES, Buffer.alloc(PAGE_BYTES, 1));
    made.reopen();
    for (let round = 0; round < 2; round++) {
      const expected = Buffer.alloc(4 * PAGE_BYTES);
      originBytes(0, SIZE).copy(expected, 0, 0, PAGE_BYTES);
      expected.fill(1, 3 * PAGE_BYTES);
      expect((await made.read("base/1")).equals(expected)).toBe(true);
      await made.dropAll();
    }
  });

  // claim: docs/open.md: after a kill nothing that was acknowledged is lost, and after a loss of power nothing that was
  //   synced
  test("it equals a plain directory after any requests, kills and losses of power", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(STEP, { minLength: 1, maxLength: 40 }), (steps) => follows(steps)),
      { numRuns: 150, examples: [[SYNCED_AFTER_A_KILL], [READ_BEFORE_A_KILL], [WRITTEN_AFTER_A_SYNC]] },
    );
  }, 120_000);
});

/** Once it lost the write, which another process had made. PostgreSQL's recovery begins with such syncs. */
const SYNCED_AFTER_A_KILL: Step[] = [
  ["write", 1, 0, 0, 1],
  ["drop and kill", 0, 0, 0, 0],
  ["fsync", 1, 0, 0, 0],
  ["drop and power", 0, 0, 0, 0],
];
/** The page keeps the old or the new content, and is not fetched again. */
const WRITTEN_AFTER_A_SYNC: Step[] = [
  ["read", 1, 0, 0, 1],
  ["fsync", 1, 0, 0, 0],
  ["write", 1, 0, 0, 1],
  ["power", 0, 0, 0, 0],
];
/** Once it lost the write, which had the page of another process's fetch. */
const READ_BEFORE_A_KILL: Step[] = [
  ["read", 1, 0, 0, 1],
  ["kill", 0, 0, 0, 0],
  ["write", 1, 0, 0, PAGE_BYTES],
  ["fsync", 1, 0, 0, 0],
  ["power", 0, 0, 0, 0],
];
type Step = readonly [kind: keyof typeof WEIGHTS, file: number, page: number, odd: number, size: number];
/** How often each comes: most runs must reach a loss of power with files that are still the backup's. */
const WEIGHTS = {
  read: 4,
  write: 4,
  fsync: 4,
  kill: 3,
  power: 3,
  "drop and kill": 1,
  "drop and power": 1,
  drop: 1,
  "drop beside": 2,
  truncate: 1,
  "truncate, killed": 1,
  rename: 1,
  unlink: 1,
  "unlink, killed": 1,
  create: 1,
  away: 1,
  "fetch all": 1,
} as const;
const ALONE: ReadonlySet<Step[0]> = new Set([
  "kill",
  "power",
  "drop and kill",
  "drop and power",
  "drop",
  "truncate, killed",
  "unlink, killed",
  // Excludes a limit.
  "fetch all",
]);
const KINDS = fc.oneof(
  ...Object.entries(WEIGHTS).map(([kind, weight]) => ({
    arbitrary: fc.constant(kind as keyof typeof WEIGHTS),
    weight,
  })),
);
const FILES = fc.oneof({ arbitrary: fc.constant(1), weight: 2 }, { arbitrary: fc.nat(3), weight: 1 });
const PAGE_NUMBERS = fc.oneof({ arbitrary: fc.nat(1), weight: 2 }, { arbitrary: fc.nat(6), weight: 1 });
const STEP = fc.tuple(KINDS, FILES, PAGE_NUMBERS, fc.nat(PAGE_BYTES - 1), fc.nat(20_000));
const NAMES = ["base/0", "base/1", "base/2", "base/3"];
/** More than a file gets here. */
const PAGES_MAX = 20;

/** What a plain directory would hold. */
interface Modelled {
  content: Buffer;
  /** Content of the backup; null for a file of our own, or one that was renamed. */
  origin: Buffer | null;
  /** Smallest size so far: the backup has nothing behind it. */
  endBytes: number;
  /** Pages with content of their own since the last fsync; a truncation is durable at once. */
  fresh: Set<number>;
  /** Pages that are certain after a loss of power. */
  durable: Set<number>;
  /** Pages that an fsync found here, and whose space was not given back: a later write leaves the old or the new. */
  stored: Set<number>;
}

function modelOf(origin: Buffer | null, content: Buffer, endBytes: number): Modelled {
  return { content, origin, endBytes, fresh: new Set(), durable: new Set(), stored: new Set() };
}

async function follows(steps: readonly Step[]): Promise<void> {
  const sizes = { "base/0": SIZE, "base/1": 2 * PAGE_BYTES, "base/2": 100 };
  const made = new UpperWorld(sizes);
  const model = new Map<string, Modelled>();
  Object.entries(sizes).forEach(([name, size], index) => {
    const origin = originBytes(index, size);
    model.set(name, modelOf(origin, Buffer.from(origin), size));
  });
  try {
    let dropping: Promise<void> | null = null;
    for (const step of steps) {
      // Beside the next request. After a kill the next process waits for the lock of what gives the space back.
      if (step[0] === "drop beside" || ALONE.has(step[0])) await dropping;
      if (step[0] === "drop beside") dropping = dropPages(made, model);
      else {
        await apply(made, model, step);
        await dropping;
        dropping = null;
      }
    }
    await dropping;
    made.isAway = false;
    for (const name of NAMES) await compare(made, model, name);
  } finally {
    made.remove();
  }
}

async function compare(made: UpperWorld, model: ReadonlyMap<string, Modelled>, name: string): Promise<void> {
  const modelled = model.get(name);
  if (modelled === undefined) return expect(made.upper.tree.find(name)).toBeNull();
  const actual = await made.read(name);
  expect(actual.equals(modelled.content), `${name} differs`).toBe(true);
}

async function apply(made: UpperWorld, model: Map<string, Modelled>, step: Step): Promise<void> {
  const [kind, file, page, odd, size] = step;
  const name = NAMES[file] as string;
  const modelled = model.get(name);
  const directory = made.nodeOf("base");
  if (kind === "away") made.isAway = !made.isAway;
  else if (kind === "kill") made.reopen();
  else if (kind === "power") losePower(made, model);
  else if (kind === "fetch all") await fetchAll(made, model);
  else if (kind === "drop") await dropPages(made, model);
  else if (kind === "drop and kill" || kind === "drop and power") {
    // Before anything is given back.
    made.diesAtSync = true;
    await made.dropAll();
    made.diesAtSync = false;
    if (kind === "drop and power") losePower(made, model);
    else made.reopen();
  } else if (kind === "create") {
    if (modelled !== undefined) return;
    await made.ask({ kind: "create", name: name.slice(5), mode: 0o600 }, directory);
    model.set(name, modelOf(null, Buffer.alloc(0), 0));
  } else if (modelled !== undefined) await change(made, model, modelled, { kind, name, page, odd, size, directory });
}

async function dropPages(made: UpperWorld, model: ReadonlyMap<string, Modelled>): Promise<void> {
  await made.dropAll();
  for (const [name, { stored }] of model) for (const page of stored) if (!isHere(made, name, page)) stored.delete(page);
}

function isHere(made: UpperWorld, name: string, page: number): boolean {
  return made.upper.tree.find(name)?.file?.origin?.pages.has(page) === true;
}

/** From then on every file is like any other. */
async function fetchAll(made: UpperWorld, model: ReadonlyMap<string, Modelled>): Promise<void> {
  if (made.isAway) return;
  await made.hydration().run();
  for (const modelled of model.values()) modelled.origin = null;
}

interface Change {
  readonly kind: Step[0];
  readonly name: string;
  readonly page: number;
  readonly odd: number;
  readonly size: number;
  readonly directory: number;
}

async function change(
  made: UpperWorld,
  model: Map<string, Modelled>,
  modelled: Modelled,
  { directory, kind, name, odd, page, size }: Change,
): Promise<void> {
  const offset = page * PAGE_BYTES + (odd % 2 === 0 ? 0 : odd);
  /** Refused while the repository is away, and then without any effect. */
  const tried = async (work: Promise<unknown>): Promise<boolean> => {
    try {
      await work;
      return true;
    } catch (error) {
      if (!made.isAway) throw error;
      return false;
    }
  };
  if (kind === "read") {
    if (await tried(made.read(name, offset, size)))
      expect((await made.read(name, offset, size)).equals(modelled.content.subarray(offset, offset + size))).toBe(true);
  } else if (kind === "write") {
    const data = Buffer.alloc(size, page + 1);
    if (size === 0 || !(await tried(made.write(name, offset, data)))) return;
    const content = Buffer.alloc(Math.max(modelled.content.length, offset + size));
    modelled.content.copy(content);
    data.copy(content, offset);
    modelled.content = content;
    for (let at = Math.floor(offset / PAGE_BYTES); at * PAGE_BYTES < offset + size; at++) modelled.fresh.add(at);
  } else if (kind === "truncate" || kind === "truncate, killed") {
    const sizeBytes = page * PAGE_BYTES + (odd % 3 === 0 ? odd : 0);
    if (kind === "truncate") {
      if (!(await tried(made.truncate(name, sizeBytes)))) return;
    } else {
      const origin = made.upper.tree.find(name)?.file?.origin;
      if (origin == null || sizeBytes >= origin.endBytes) return;
      made.upper.journal.append({ kind: "cut", file: origin.index, sizeBytes });
      made.reopen();
    }
    const content = Buffer.alloc(sizeBytes);
    modelled.content.copy(content);
    modelled.content = content;
    if (sizeBytes < modelled.endBytes) {
      modelled.endBytes = sizeBytes;
      for (let at = Math.ceil(sizeBytes / PAGE_BYTES); at < PAGES_MAX; at++) modelled.durable.add(at);
    }
  } else if (kind === "fsync") {
    await made.ask({ kind: "fsync" }, made.nodeOf(name));
    for (const each of modelled.fresh) modelled.durable.add(each);
    modelled.fresh.clear();
    for (let at = 0; at < PAGES_MAX; at++) if (isHere(made, name, at)) modelled.stored.add(at);
  } else if (kind === "unlink") {
    await made.ask({ kind: "unlink", name: name.slice(5) }, directory);
    model.delete(name);
  } else if (kind === "unlink, killed") {
    const origin = made.upper.tree.find(name)?.file?.origin;
    if (origin == null) return;
    made.upper.journal.append({ kind: "remove", file: origin.index });
    made.reopen();
    model.delete(name);
  } else if (kind === "rename") {
    const to = NAMES[page % NAMES.length] as string;
    const request = {
      kind: "rename",
      name: name.slice(5),
      toNode: directory,
      toName: to.slice(5),
      mayReplace: true,
    } as const;
    if (to === name || !(await tried(made.ask(request, directory)))) return;
    model.delete(name);
    model.set(to, modelOf(null, modelled.content, 0));
  }
}

/**
 * Pages of the backup's files that were written and not synced may hold anything: they count as not written. Those that
 * had been synced before keep the write, unless the directory fetches them again.
 */
function losePower(made: UpperWorld, model: ReadonlyMap<string, Modelled>): void {
  const lost = [...model].flatMap(([name, modelled]) => {
    const { content, durable, endBytes, fresh, origin, stored } = modelled;
    if (origin === null) return [];
    const end = Math.min(endBytes, content.length);
    const pages = [...fresh].filter((page) => !durable.has(page) && page * PAGE_BYTES < origin.length);
    made.spoil(
      name,
      pages.filter((page) => (page + 1) * PAGE_BYTES <= end && !stored.has(page)),
    );
    return pages.map((page) => ({ name, modelled, origin, page, end }));
  });
  made.losePower();
  for (const { end, modelled, name, origin, page } of lost) {
    modelled.fresh.delete(page);
    if (modelled.stored.has(page) && isHere(made, name, page)) modelled.durable.add(page);
    // Behind the backup's end, in its last page, new bytes may stay: nobody was promised either.
    else origin.copy(modelled.content, page * PAGE_BYTES, page * PAGE_BYTES, Math.min((page + 1) * PAGE_BYTES, end));
  }
}
