import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  linkSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  decidersOf,
  findText,
  isRootsAlone,
  makeDirectoryFor,
  openToAppend,
  ownUid,
  readOwnFile,
  resolveTrusted,
  TrustedDirectory,
} from "../../../runtime/local/trust";

const STRANGER = 61_111;
const isRoot = process.geteuid?.() === 0;
let folder: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "trust-")));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const thrownBy = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe("a directory", () => {
  const open = (path: string, owners: readonly number[] = []): void =>
    TrustedDirectory.open("lock path", path, owners).close();

  test("of this account is trusted, and one that everybody may write is not", () => {
    open(folder);
    chmodSync(folder, 0o777);
    expect(thrownBy(() => open(folder))).toMatchObject({
      kind: "fileMode",
      message: `lock path '${folder}' may be written by every account`,
    });
  });

  test.runIf(isRoot)(
    "of another account is trusted only if that account is named, or only root could put it there",
    () => {
      const path = join(folder, "lock");
      mkdirSync(path);
      chownSync(path, STRANGER, STRANGER);
      expect(thrownBy(() => open(path))).toMatchObject({
        kind: "fileOwner",
        message: `lock path '${path}' belongs to account ${STRANGER}: another account could have planted it`,
        hints: [
          expect.stringContaining(`Remove '${path}'`),
          expect.stringContaining("lock-path=/var/spool/pgbackrest/lock"),
        ],
      });
      open(path, [STRANGER]);
      const roots = mkdtempSync("/var/lib/pgb-trust-");
      try {
        mkdirSync(join(roots, "lock"));
        chownSync(join(roots, "lock"), STRANGER, STRANGER);
        open(join(roots, "lock"));
      } finally {
        rmSync(roots, { recursive: true });
      }
    },
  );

  test.runIf(isRoot)("behind a link is trusted if root or this account made the link", () => {
    const link = join(folder, "link");
    mkdirSync(join(folder, "lock"));
    symlinkSync(join(folder, "lock"), link);
    open(link);
    lchownSync(link, STRANGER, STRANGER);
    expect(thrownBy(() => open(link))).toMatchObject({
      kind: "fileOwner",
      message: expect.stringContaining(`is a symbolic link of account ${STRANGER}`),
    });
  });
});

describe("a file in a trusted directory", () => {
  const open = (name: string): void => {
    const directory = TrustedDirectory.open("lock path", folder);
    try {
      closeSync(directory.openFile(name, constants.O_RDWR | constants.O_CREAT, 0o640));
    } finally {
      directory.close();
    }
  };

  test("is created, opened again, and refused when it is a link, has a second name, is not a file, or is writable by every account", () => {
    open("new");
    open("new");
    writeFileSync(join(folder, "precious"), "precious");
    symlinkSync(join(folder, "precious"), join(folder, "link"));
    linkSync(join(folder, "precious"), join(folder, "second"));
    mkdirSync(join(folder, "directory"));
    writeFileSync(join(folder, "everybody"), "");
    chmodSync(join(folder, "everybody"), 0o666);
    for (const [name, text] of [
      ["link", "is a symbolic link"],
      ["second", "has another name (a hard link)"],
      ["everybody", "may be written by every account"],
    ] as const)
      expect(thrownBy(() => open(name))).toMatchObject({ kind: "fileOwner", message: expect.stringContaining(text) });
    expect(thrownBy(() => open("directory"))).toBeInstanceOf(Error);
    expect(readFileSync(join(folder, "precious"), "utf8")).toBe("precious");
  });

  test.runIf(isRoot)("is refused when a stranger owns it", () => {
    writeFileSync(join(folder, "lock"), "");
    chownSync(join(folder, "lock"), STRANGER, STRANGER);
    expect(thrownBy(() => open("lock"))).toMatchObject({
      kind: "fileOwner",
      message: expect.stringContaining(`belongs to account ${STRANGER}`),
    });
  });

  test("belongs to the opened directory, whatever has its name now", () => {
    mkdirSync(join(folder, "lock"));
    const directory = TrustedDirectory.open("lock path", join(folder, "lock"));
    rmSync(join(folder, "lock"), { recursive: true });
    mkdirSync(join(folder, "lock"));
    writeFileSync(join(folder, "lock", "planted"), "");
    expect(directory.find("planted")).toBeNull();
    directory.close();
  });
});

test("a log is created and appended to, never through a link or a second name", () => {
  const path = join(folder, "log");
  for (const text of ["one\n", "two\n"]) {
    const fd = openToAppend(path, 0o640);
    writeFileSync(fd, text);
    closeSync(fd);
  }
  expect(readFileSync(path, "utf8")).toBe("one\ntwo\n");
  symlinkSync(path, join(folder, "link"));
  expect(thrownBy(() => openToAppend(join(folder, "link"), 0o640))).toMatchObject({ kind: "fileOwner" });
  linkSync(path, join(folder, "second"));
  expect(thrownBy(() => openToAppend(path, 0o640))).toMatchObject({ kind: "fileOwner" });
});

test("an own file is read; another account's, a link, and one that others may write are refused", () => {
  const path = join(folder, "own");
  expect(readOwnFile(path, ownUid())).toBeNull();
  writeFileSync(path, "text", { mode: 0o600 });
  expect(readOwnFile(path, ownUid())).toBe("text");
  expect(thrownBy(() => readOwnFile(path, STRANGER))).toMatchObject({ kind: "fileOwner" });
  symlinkSync(path, join(folder, "link"));
  expect(thrownBy(() => readOwnFile(join(folder, "link"), ownUid()))).toMatchObject({ kind: "fileOwner" });
  expect(findText(join(folder, "link"))).toBeNull();
  chmodSync(path, 0o620);
  expect(thrownBy(() => readOwnFile(path, ownUid()))).toMatchObject({ kind: "fileOwner" });
  expect(findText(path)).toBe("text");
});

test("a path is followed through links of named accounts only", () => {
  mkdirSync(join(folder, "a"));
  symlinkSync("a", join(folder, "b"));
  symlinkSync(join(folder, "b"), join(folder, "c"));
  expect(resolveTrusted(join(folder, "c", "none"), [ownUid()])).toBe(join(folder, "a", "none"));
  if (isRoot) lchownSync(join(folder, "b"), STRANGER, STRANGER);
  if (isRoot) expect(thrownBy(() => resolveTrusted(join(folder, "c"), []))).toMatchObject({ kind: "fileOwner" });
  symlinkSync("loop", join(folder, "loop"));
  expect(thrownBy(() => resolveTrusted(join(folder, "loop"), [ownUid()]))).toMatchObject({ kind: "pathOpen" });
});

test("a directory is root's alone only if nobody else can swap it", () => {
  expect(isRootsAlone("/usr")).toBe(true);
  expect(isRootsAlone("/tmp")).toBe(false);
  expect(isRootsAlone(folder)).toBe(false);
});

test.runIf(isRoot)("every account that can change a file, its directories or a link to it decides what it says", () => {
  const above = join(folder, "above");
  const inside = join(above, "inside");
  const file = join(inside, "file");
  const link = join(inside, "link");
  mkdirSync(inside, { recursive: true });
  const decided = (path = file): unknown[] => decidersOf(path).map((by) => [by.path, by.uid]);
  const change = (path: string, uid: number, mode: number): unknown[] => {
    const isLink = path === link;
    if (!isLink) chmodSync(path, mode);
    lchownSync(path, uid, uid);
    const deciders = decided(isLink ? link : file);
    lchownSync(path, 0, 0);
    if (!isLink) chmodSync(path, 0o755);
    return deciders;
  };
  writeFileSync(file, "");
  symlinkSync("file", link);
  expect(decided()).toEqual([]);
  expect(decided(link)).toEqual([]);
  for (const path of [file, link, inside, above]) expect(change(path, STRANGER, 0o644)).toEqual([[path, STRANGER]]);
  for (const path of [file, inside, above]) {
    expect(change(path, 0, 0o775)).toEqual([[path, null]]);
    expect(change(path, 0, 0o757)).toEqual([[path, null]]);
  }
  // Nobody replaces an entry of root's in a sticky directory.
  for (const path of [inside, above]) expect(change(path, 0, 0o1777)).toEqual([]);
  expect(change(file, 0, 0o1777)).toEqual([[file, null]]);
  // A link of root's leads to where another account decides.
  chownSync(inside, STRANGER, STRANGER);
  symlinkSync("inside/file", join(above, "outer"));
  expect(decided(join(above, "outer"))).toEqual([[inside, STRANGER]]);
});

test.runIf(isRoot)("root's new files and directories belong to the account that uses them, others stay", () => {
  const path = join(folder, "state/lock");
  makeDirectoryFor([0, STRANGER], path, 0o750);
  for (const made of [join(folder, "state"), path]) expect(statSync(made).uid).toBe(STRANGER);
  chownSync(folder, STRANGER, STRANGER);
  closeSync(openToAppend(join(folder, "log"), 0o640));
  expect(statSync(join(folder, "log")).uid).toBe(STRANGER);
  writeFileSync(join(folder, "full"), "text");
  closeSync(openToAppend(join(folder, "full"), 0o640));
  expect(statSync(join(folder, "full")).uid).toBe(0);
  makeDirectoryFor([STRANGER], "/tmp", 0o750);
  expect(statSync("/tmp").uid).toBe(0);
});
