// claim: docs/security.md: no other account of…
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { recoverJournal, readJournal } from "../../../../runtime/operations/recover/recoveryJournal";
import { JournalFile } from "../../../../runtime/operations/recover/journalFile";

const isRoot = process.geteuid?.() === 0;
const ACCOUNT = 61_111;
let folder: string;
let beside: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(isRoot ? "/var/lib" : tmpdir(), "journal-")));
  chmodSync(folder, 0o755);
  beside = join(folder, "data.recover.json");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const fileOf = (uid: number): JournalFile =>
  new JournalFile("recover", "/srv/pg/data", beside, uid, join(folder, "roots", "journals"));
const never = (): boolean => false;

describe.runIf(isRoot)("root's journal", () => {
  test("is in a directory that only root writes, is read again, and is removed", async () => {
    const file = fileOf(0);
    expect(file.read(never)).toBeNull();
    await file.write({ phase: "stop" });
    expect(readdirSync(join(folder, "roots/journals"))).toEqual([
      expect.stringMatching(/^recover-srv-pg-data-[0-9a-f]{12}\.json$/),
    ]);
    expect(
      [join(folder, "roots"), join(folder, "roots/journals"), file.path].map((path) => statSync(path).mode & 0o777),
    ).toEqual([0o755, 0o711, 0o600]);
    expect(file.read(never)).toEqual({ phase: "stop" });
    await file.remove();
    expect(file.read(never)).toBeNull();
  });

  test("is refused when another account owns it, or may write its directory", async () => {
    const file = fileOf(0);
    await file.write({});
    chownSync(file.path, ACCOUNT, ACCOUNT);
    expect(() => file.read(never)).toThrow(`belongs to account ${ACCOUNT}`);
    chownSync(file.path, 0, 0);
    chmodSync(join(folder, "roots/journals"), 0o777);
    expect(() => file.read(never)).toThrow("is not safe: other accounts than root can write there");
    await expect(file.write({})).rejects.toMatchObject({ kind: "fileOwner" });
  });

  test("is the only one that root obeys: another account's is refused, unless it is finished", () => {
    writeFileSync(beside, `{"phase":"start"}`);
    chownSync(beside, ACCOUNT, ACCOUNT);
    expect(() => fileOf(0).read(never)).toThrow(
      /belongs to account 61111 and is in a directory that others than root can write: root does not use it/,
    );
    expect(fileOf(0).read(() => true)).toBeNull();
    const seen: unknown[] = [];
    fileOf(0).read((journal) => seen.push(journal) > 0);
    expect(seen).toEqual([{ phase: "start" }]);
  });

  test("keeps another account from starting", async () => {
    await fileOf(0).write({});
    expect(() => fileOf(ACCOUNT).read(never)).toThrow(/root has started a recovery here/);
  });
});

describe("another account's journal", () => {
  const uid = process.geteuid?.() || ACCOUNT;
  const own = (path: string): void => (isRoot ? chownSync(path, uid, uid) : undefined);

  test("is beside the data, and is trusted if it is its own", async () => {
    const file = fileOf(uid);
    expect(file.path).toBe(beside);
    await file.write({ phase: "move" });
    own(beside);
    expect(file.read(never)).toEqual({ phase: "move" });
  });

  test("is refused when it is a link, another account's, or invalid", () => {
    writeFileSync(join(folder, "elsewhere"), "{}");
    symlinkSync(join(folder, "elsewhere"), beside);
    expect(() => fileOf(uid).read(never)).toThrow("is a symbolic link");
    rmSync(beside);
    writeFileSync(beside, "{}", { mode: 0o600 });
    if (isRoot) expect(() => fileOf(uid).read(never)).toThrow("belongs to account 0");
    own(beside);
    writeFileSync(beside, "no journal");
    expect(() => fileOf(uid).read(never)).toThrow("is not a journal");
  });
});

test("a journal of another version is refused, unless it is finished and nothing is to be undone", () => {
  mkdirSync(join(folder, "data"));
  const file = isRoot
    ? new JournalFile("recover", "x", beside, ACCOUNT, join(folder, "none"))
    : recoverJournal(join(folder, "data"));
  const write = (journal: object): void => {
    writeFileSync(beside, JSON.stringify(journal), { mode: 0o600 });
    if (isRoot) chownSync(beside, ACCOUNT, ACCOUNT);
  };
  write({ version: 1, phase: "done" });
  expect(readJournal(file, false)).toBeNull();
  expect(() => readJournal(file, true)).toThrow("is not a recovery journal that this version can read");
  write({ version: 1, phase: "move" });
  expect(() => readJournal(file, false)).toThrow("is not a recovery journal that this version can read");
  write({ version: 2, phase: "move" });
  expect(readJournal(file, false)).toMatchObject({ phase: "move" });
});
