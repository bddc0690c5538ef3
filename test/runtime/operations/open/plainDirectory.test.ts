import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { renderEntry } from "../../../../runtime/operations/open/journalEntries";
import {
  type Move,
  openLocation,
  type OpenLocation,
  type OpenState,
  saveProgress,
} from "../../../../runtime/operations/open/openLocation";
import { makePlain, planMove } from "../../../../runtime/operations/open/plainDirectory";
import { moveServerWal } from "../../../../runtime/operations/open/upperDirectory";
import { isRoot } from "../../../../tools/parts/users";
import { OPENED, RECOVERY } from "./upperWorld";

let folder: string;
let location: OpenLocation;
let to: string;
const done = (): Promise<void> => Promise.resolve();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pgb-plain-"));
  location = openLocation(join(folder, "past"));
  to = join(folder, "new", "data");
  const files = {
    [location.journal]: renderEntry({ kind: "whole" }),
    [location.restoredConf]: `# of the backup\nrestore_command = 'pgbackstop --pg1-path=${location.at} archive-get %f "%p"'\n`,
    [`${location.upper}/postgresql.auto.conf`]: "# of the opened server\n",
    [`${location.upper}/postmaster.opts`]: "old",
    [`${location.upper}/global/pg_control.opening`]: "control",
    [`${location.upper}/pg_tblspc/16385/PG_18_1/5/16390`]: "placed",
    // Of the opened server.
    [`${location.upper}/pg_tblspc/16400/PG_18_1/5/16401`]: "in place",
  };
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
});
afterEach(() => rmSync(folder, { recursive: true }));

function stateOf(space = join(folder, "space")): OpenState {
  const account = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const dropped = { type: "link", tablespaceId: "16386", tablespaceName: "dropped" } as const;
  const placed = { type: "link", tablespaceId: "16385", tablespaceName: "placed" } as const;
  return {
    version: 1,
    stanza: "main",
    account,
    madeDirectory: true,
    recovery: RECOVERY,
    fetchesAll: true,
    phase: "used",
    backup: {
      ...OPENED,
      tablespaces: [
        { ...placed, name: "pg_tblspc/16385", path: space },
        { ...dropped, name: "pg_tblspc/16386", path: join(folder, "dropped") },
      ],
    },
  };
}

const request = (more: Partial<Parameters<typeof planMove>[2]> = {}): Parameters<typeof planMove>[2] => ({
  to,
  tablespaceMap: {},
  tablespaceMapAll: undefined,
  ...more,
});

function expectPlain(space: string): void {
  expect(existsSync(location.upper)).toBe(false);
  expect(readdirSync(join(to, "global"))).toEqual(["pg_control"]);
  expect(readFileSync(join(to, "postgresql.auto.conf"), "utf8")).toContain(`pgbackstop --pg1-path=${to} archive-get`);
  expect(existsSync(join(to, "postmaster.opts"))).toBe(false);
  expect(readlinkSync(join(to, "pg_tblspc/16385"))).toBe(space);
  expect(readFileSync(join(to, "pg_tblspc/16385/PG_18_1/5/16390"), "utf8")).toBe("placed");
  expect(readdirSync(join(to, "pg_tblspc")).sort()).toEqual(["16385", "16400"]);
  expect(statSync(join(to, "pg_tblspc/16400/PG_18_1/5/16401")).isFile()).toBe(true);
}

describe("a plain data directory of an opened backup", () => {
  // claim: docs/open.md: `close --move-to` makes a plain data directory, with pg_control in place last
  test("has the settings and tablespaces of a restore, and its pg_control last", async () => {
    const state = stateOf();
    const move = await planMove(location, state, request());
    await makePlain(location, state, move, async () => {
      expect(readdirSync(join(to, "global"))).toEqual(["pg_control.opening"]);
    });
    expectPlain(join(folder, "space"));
  });

  test("puts tablespaces where the mapping says", async () => {
    const all = join(folder, "spaces");
    const state = stateOf("/etc/space");
    await expect(planMove(location, state, request())).rejects.toThrow("a directory of the system");
    const move = await planMove(location, state, request({ tablespaceMapAll: all }));
    await makePlain(location, state, move, done);
    expectPlain(join(all, "placed"));
  });

  test("a killed move is repeated to the same directory, wherever it ended", async () => {
    const state = stateOf();
    const move = await planMove(location, state, request());
    const moving: OpenState = { ...state, phase: "moving", move };
    // The tablespace moved, and its link is not in place yet.
    mkdirSync(join(folder, "space"));
    const path = join(location.upper, "pg_tblspc/16385");
    await expect(makePlain(location, state, { ...move, to: "/proc/never" }, done)).rejects.toThrow();
    expect(readlinkSync(path)).toBe(join(folder, "space"));
    const again = async (sync: () => Promise<void>): Promise<void> =>
      makePlain(location, moving, (await planMove(location, moving, request())) satisfies Move, sync);
    await expect(again(() => Promise.reject(new Error("killed")))).rejects.toThrow("killed");
    expect(existsSync(join(to, "global/pg_control"))).toBe(false);
    await expect(planMove(location, moving, request({ to: `${to}2` }))).rejects.toThrow(`was moved to '${to}'`);
    for (const _ of [1, 2]) await again(done);
    expectPlain(join(folder, "space"));
  });

  // claim: docs/open.md: as long as the files of a killed move are not in their place, it may name another directory
  test("a killed move may name another directory as long as the files are not in their place", async () => {
    const state = stateOf();
    const never = { ...(await planMove(location, state, request())), to: "/proc/never" };
    await expect(makePlain(location, state, never, done)).rejects.toThrow();
    const move = await planMove(location, { ...state, phase: "moving", move: never }, request());
    await makePlain(location, state, move, done);
    expectPlain(join(folder, "space"));
  });

  test("is refused before anything is changed for a link, and for another mount of the same file system", async (context) => {
    mkdirSync(join(folder, "real"));
    symlinkSync(join(folder, "real"), join(folder, "link"));
    await expect(planMove(location, stateOf(), request({ to: join(folder, "link") }))).rejects.toThrow("it is a link");
    if (!isRoot()) return context.skip();
    const other = join(folder, "mount");
    mkdirSync(other);
    execFileSync("mount", ["--bind", join(folder, "real"), other]);
    try {
      for (const path of [other, join(other, "new")])
        await expect(planMove(location, stateOf(), request({ to: path }))).rejects.toThrow(
          "another file system or mount",
        );
      const spaces = planMove(location, stateOf(), request({ tablespaceMapAll: other }));
      await expect(spaces).rejects.toThrow("another file system or mount");
    } finally {
      execFileSync("umount", [other]);
    }
    expect(readdirSync(join(folder, "real"))).toEqual([]);
    expect(readdirSync(location.folder).sort()).toEqual(["journal", "restored.auto.conf", "upper"]);
  });

  // claim: docs/open.md: `close --move-to` refuses while a page is missing
  test("is refused, with nothing changed, while a page is missing or something is in its place", async () => {
    const before = readdirSync(location.upper, { recursive: true });
    await saveProgress(location, {
      totalBytes: 4096,
      missingBytes: 1024,
      isWhole: false,
      fetchesAll: false,
      trouble: null,
    });
    writeFileSync(location.journal, renderEntry({ kind: "durable", file: 0, run: [0, 9] }));
    await expect(planMove(location, stateOf(), request())).rejects.toThrow("1KB of it is not here yet");
    writeFileSync(location.journal, renderEntry({ kind: "whole" }));
    mkdirSync(join(folder, "space/PG_18_1/5"), { recursive: true });
    await expect(planMove(location, stateOf(), request())).rejects.toThrow("space/PG_18_1': it is not empty");
    rmSync(join(folder, "space"), { recursive: true });
    mkdirSync(join(to, "base"), { recursive: true });
    await expect(planMove(location, stateOf(), request())).rejects.toThrow(`'${to}': it is not empty`);
    await expect(planMove(location, stateOf(), request({ to: "/proc/data" }))).rejects.toThrow("another file system");
    expect(readdirSync(location.upper, { recursive: true })).toEqual(before);
  });
});

describe("the server's WAL", () => {
  const inside = (): string => `${location.upper}/pg_wal`;
  const segment = "000000010000000000000007";
  /** Where the segment is, and what has its usual place. */
  const placed = (): string[] => {
    const holder = [inside(), location.serverWal].filter((path) => existsSync(`${path}/${segment}`));
    const info = lstatSync(inside(), { throwIfNoEntry: false });
    return [...holder, info?.isSymbolicLink() === true ? "link" : info?.isDirectory() === true ? "directory" : "none"];
  };
  const makes: Readonly<Record<string, () => void>> = {
    inside: () => {
      mkdirSync(inside());
      writeFileSync(`${inside()}/${segment}`, "");
    },
    "killed between both steps": () => {
      mkdirSync(location.serverWal);
      writeFileSync(`${location.serverWal}/${segment}`, "");
    },
    beside: () => {
      makes["killed between both steps"]?.();
      symlinkSync(location.serverWal, inside());
    },
  };

  test.each(Object.keys(makes))("%s: it is put beside the mount, and back", async (state) => {
    makes[state]?.();
    for (const _ of [1, 2]) {
      for (const __ of ["once", "again"]) {
        await moveServerWal(location, true);
        expect(placed()).toEqual([inside(), location.serverWal, "link"]);
      }
      for (const __ of ["once", "again"]) {
        await moveServerWal(location, false);
        expect(placed()).toEqual([inside(), "directory"]);
        expect(existsSync(location.serverWal)).toBe(false);
      }
    }
  });

  test.each(Object.keys(makes))("%s: it is in a plain data directory", async (state) => {
    makes[state]?.();
    await makePlain(location, stateOf(), { to, tablespaces: [] }, done);
    expect(lstatSync(`${to}/pg_wal`).isDirectory()).toBe(true);
    expect(readdirSync(`${to}/pg_wal`)).toEqual([segment]);
  });

  test.each([true, false])("what somebody has put there stays, beside: %s", async (isBeside) => {
    makes["killed between both steps"]?.();
    symlinkSync("/srv/wal", inside());
    await moveServerWal(location, isBeside);
    expect(readlinkSync(inside())).toBe("/srv/wal");
    rmSync(inside());
    mkdirSync(inside());
    await moveServerWal(location, isBeside);
    expect(placed()).toEqual([location.serverWal, "directory"]);
  });
});
