// claim: README.md: another account of a…
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { actAs } from "../../../../runtime/local/actAs";
import {
  moveAside,
  moveBack,
  prepare,
  requireKept,
  requireOwned,
  requireRights,
} from "../../../../runtime/operations/recover/moves";
import { type Phase, PHASES } from "../../../../runtime/operations/recover/recoveryJournal";

const isRoot = process.geteuid?.() === 0;
const account = isRoot
  ? { uid: 61_111, gid: 61_112, mode: 0o700 }
  : { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, mode: 0o700 };
const rights = { asAccount: <T>(work: () => Promise<T>): Promise<T> => actAs(account, work) };
let folder: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "moves-")));
  give(folder);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const give = (path: string): void => chownSync(path, account.uid, account.gid);
const directory = (path: string, isAccounts = true): string => {
  mkdirSync(path);
  if (isAccounts) give(path);
  return path;
};
const movedOf = (dataDirectory: string, ...more: readonly string[]) => ({
  account,
  dataDirectory,
  moves: [...more, dataDirectory].map((from) => ({ from, to: `${from}.old` })),
  stamp: "1",
});

test("directories are renamed, made again, and renamed back", async () => {
  const data = directory(join(folder, "data"));
  const wal = directory(join(folder, "wal"));
  writeFileSync(join(data, "old"), "");
  const moved = movedOf(data, wal);
  await requireOwned(moved);
  for (let again = 0; again < 2; again++) await moveAside(moved, rights);
  for (let again = 0; again < 2; again++) await prepare(moved, rights);
  expect([data, wal, join(data, "backup.manifest")].map((path) => lstatSync(path).uid)).toEqual([
    account.uid,
    account.uid,
    account.uid,
  ]);
  expect(lstatSync(data).mode & 0o777).toBe(0o700);
  expect(await moveBack(moved, rights)).toEqual([`${data}.recovered-1`]);
  expect([existsSync(join(data, "old")), existsSync(`${wal}.old`), existsSync(wal)]).toEqual([true, false, true]);
});

// claim: docs/hosts/recover.md: an undo without all of the old data is refused
test("an undo needs all of the old data, until it has begun to put them back", async () => {
  const data = directory(join(folder, "data"));
  const space = directory(join(folder, "space"));
  const moved = movedOf(data, space);
  const keptIn = (phase: Phase): Promise<void> => requireKept({ ...moved, phase });
  await keptIn("stop");
  await expect(keptIn("restore")).rejects.toMatchObject({ kind: "fileMissing" });
  await moveAside(moved, rights);
  await prepare(moved, rights);
  for (const phase of PHASES) await keptIn(phase);
  rmSync(`${space}.old`, { recursive: true });
  for (const phase of ["restore", "start", "done"] as const)
    await expect(keptIn(phase)).rejects.toMatchObject({ kind: "fileMissing", message: expect.stringContaining(space) });
  // One that was cut off has put the tablespace back already.
  await keptIn("undo");
});

test("a directory that cannot be seen has not been moved, nor is it absent", async () => {
  const loop = join(folder, "loop");
  symlinkSync("loop", loop);
  const moved = movedOf(join(loop, "data"));
  await expect(moveBack(moved, rights)).rejects.toMatchObject({ kind: "fileOpen" });
  await expect(moveAside(moved, rights)).rejects.toMatchObject({ kind: "fileOpen" });
});

test.runIf(isRoot)(
  "a directory that neither the account nor root alone may rename is refused before anything is stopped",
  async () => {
    const above = directory(join(folder, "above"), false);
    const data = directory(join(above, "data"));
    await expect(requireRights(movedOf(data), rights)).rejects.toMatchObject({
      kind: "fileMove",
      message: expect.stringMatching(`may not rename in '${above}'.*: '${folder}' belongs to account ${account.uid}$`),
      hints: [
        expect.stringContaining(`chown ${account.uid}:${account.gid} '${above}'`),
        expect.stringContaining("go-w"),
      ],
    });
    give(above);
    await requireRights(movedOf(data), rights);
    expect(readdirSync(above)).toEqual(["data"]);
  },
);

test.runIf(isRoot)("a directory that only root may rename is refused to the account", async () => {
  const above = mkdtempSync("/var/lib/pgb-moves-");
  try {
    chmodSync(above, 0o755);
    const moved = movedOf(directory(join(above, "data")));
    await requireRights(moved, rights);
    const own = { asAccount: <T>(work: () => Promise<T>): Promise<T> => work() };
    await expect(actAs(account, () => requireRights(moved, own))).rejects.toMatchObject({
      kind: "fileMove",
      message: expect.stringContaining(`may not rename in '${above}', and only root may`),
    });
  } finally {
    rmSync(above, { recursive: true });
  }
});

describe.runIf(isRoot)("for root, an account cannot", () => {
  test("make root move its directory through a linked pg_wal", async () => {
    const data = directory(join(folder, "data"));
    const etc = directory(join(folder, "etc"), false);
    const moved = movedOf(data, etc);
    await expect(requireOwned(moved)).rejects.toMatchObject({
      kind: "fileOwner",
      message: expect.stringContaining("root does not move it"),
    });
    await expect(moveAside(moved, rights)).rejects.toMatchObject({ kind: "fileOwner" });
    expect(existsSync(etc)).toBe(true);
  });

  test("have a file made or given to it behind a link in its data directory", async () => {
    const data = directory(join(folder, "data"));
    const roots = mkdtempSync(join(tmpdir(), "roots-"));
    try {
      symlinkSync(join(roots, "made"), join(data, "backup.manifest"));
      await expect(prepare(movedOf(data), rights)).rejects.toMatchObject({ code: "EACCES" });
      expect(existsSync(join(roots, "made"))).toBe(false);
    } finally {
      rmSync(roots, { recursive: true });
    }
  });

  test("be given a directory of root behind a link in the place of its own", async () => {
    const roots = mkdtempSync(join(tmpdir(), "roots-"));
    const data = join(folder, "data");
    try {
      symlinkSync(roots, data);
      await expect(prepare(movedOf(data), rights)).rejects.toMatchObject({ kind: "fileOwner" });
      expect(lstatSync(roots).uid).toBe(0);
    } finally {
      rmSync(roots, { recursive: true });
    }
  });

  test("but where only root may write, root moves and makes the account's directories", async () => {
    const above = mkdtempSync("/var/lib/pgb-moves-");
    chmodSync(above, 0o755);
    try {
      const data = directory(join(above, "data"));
      writeFileSync(join(data, "old"), "text");
      const moved = movedOf(data);
      await moveAside(moved, rights);
      await prepare(moved, rights);
      expect(lstatSync(data)).toMatchObject({ uid: account.uid, gid: account.gid });
      await moveBack(moved, rights);
      expect(readFileSync(join(data, "old"), "utf8")).toBe("text");
    } finally {
      rmSync(above, { recursive: true });
    }
  });
});
