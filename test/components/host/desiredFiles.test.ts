// claim: README.md: another account of a…
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Connection } from "../../../components/host/connection";
import {
  type Accounts,
  accountsFor,
  desiredText,
  factText,
  makeDirectories,
  readFacts,
  removeDirectories,
  removeFiles,
  sha256Hex,
  writeFiles,
} from "../../../components/host/desiredFiles";
import { connectLocally } from "../../../components/host/localConnection";

let folder: string;
let connection: Connection;
let accounts: Accounts;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pgb-files-"));
  connection = connectLocally();
  accounts = accountsFor(connection.login, connection.login);
});
afterEach(async () => {
  await connection.close();
  rmSync(folder, { recursive: true, force: true });
});

const file = (name: string, content: string | Uint8Array, mode = "0640") => ({
  path: join(folder, name),
  mode,
  owner: "admin" as const,
  content,
});

test("a new file has its content and mode, and nothing beside it", async () => {
  const bytes = new Uint8Array(300_000).map((_, index) => index * 7);
  expect(await writeFiles(connection, [file("a", bytes), file("b c 'd", "")], accounts)).toEqual([
    join(folder, "a"),
    join(folder, "b c 'd"),
  ]);
  expect(new Uint8Array(readFileSync(join(folder, "a")))).toEqual(bytes);
  expect(statSync(join(folder, "a")).mode & 0o7777).toBe(0o640);
  expect(readdirSync(folder).sort()).toEqual(["a", "b c 'd"]);
});

test("a file as desired is not touched", async () => {
  await writeFiles(connection, [file("a", "same")], accounts);
  utimesSync(join(folder, "a"), 1000, 1000);
  const before = lstatSync(join(folder, "a"), { bigint: true });
  expect(await writeFiles(connection, [file("a", "same")], accounts)).toEqual([]);
  const after = lstatSync(join(folder, "a"), { bigint: true });
  expect([after.ino, after.mtimeNs, after.ctimeNs]).toEqual([before.ino, before.mtimeNs, before.ctimeNs]);
});

test("the next write of a file removes what an interrupted update left of it, and nothing of another", async () => {
  const left = join(folder, ".pgbackstop.a.Xy12ab");
  writeFileSync(left, "half");
  writeFileSync(join(folder, ".pgbackstop.b.Xy12ab"), "of another update");
  await writeFiles(connection, [file("a", "whole")], accounts);
  expect(readdirSync(folder).sort()).toEqual([".pgbackstop.b.Xy12ab", "a"]);
});

test("a hang-up in the middle of a write leaves nothing, and the file as it was", async () => {
  await writeFiles(connection, [file("a", "before")], accounts);
  const programs = mkdtempSync(join(tmpdir(), "pgb-cat-"));
  // sudo passes on this signal when the connection breaks.
  writeFileSync(join(programs, "cat"), "#!/bin/sh\nkill -HUP $PPID\n", { mode: 0o755 });
  vi.stubEnv("PATH", `${programs}:${process.env["PATH"]}`);
  try {
    await expect(writeFiles(connection, [file("a", "after")], accounts)).rejects.toThrow(/unable to write/);
  } finally {
    vi.unstubAllEnvs();
    rmSync(programs, { recursive: true });
  }
  expect(readdirSync(folder)).toEqual(["a"]);
  expect(readFileSync(join(folder, "a"), "utf8")).toBe("before");
});

test("wrong rights and other content are replaced together", async () => {
  await writeFiles(connection, [file("a", "one")], accounts);
  chmodSync(join(folder, "a"), 0o666);
  expect(await writeFiles(connection, [file("a", "one")], accounts)).toEqual([join(folder, "a")]);
  const { ino, mode } = statSync(join(folder, "a"));
  expect(mode & 0o7777).toBe(0o640);
  await writeFiles(connection, [file("a", "two")], accounts);
  expect(statSync(join(folder, "a")).ino).not.toBe(ino);
});

describe.runIf(process.geteuid?.() === 0)("an account that may write in a directory cannot redirect root", () => {
  const STRANGER = 61_111;
  let roots: string;
  beforeEach(() => {
    roots = mkdtempSync(join(tmpdir(), "pgb-roots-"));
    mkdirSync(join(folder, "theirs"));
    chownSync(join(folder, "theirs"), STRANGER, STRANGER);
  });
  afterEach(() => rmSync(roots, { recursive: true }));

  /** Replaces a program with `script`, to simulate what the account could do while root works in its directory. */
  const during = (program: string, script: string): string => {
    const programs = mkdtempSync(join(tmpdir(), "pgb-moment-"));
    const real = process.env["PATH"] ?? "";
    writeFileSync(join(programs, program), `#!/bin/sh\nPATH='${real}'\n${script}\n`, { mode: 0o755 });
    vi.stubEnv("PATH", `${programs}:${real}`);
    return programs;
  };
  const owned = { name: "stranger", uid: STRANGER, gid: STRANGER };

  test("by a link that replaces a directory of the path", async () => {
    symlinkSync(roots, join(folder, "theirs", "conf.d"));
    lchownSync(join(folder, "theirs", "conf.d"), STRANGER, STRANGER);
    const wanted = file("theirs/conf.d/a", "text");
    await expect(writeFiles(connection, [wanted], accounts)).rejects.toThrow(
      `conf.d is a symbolic link of account ${STRANGER}`,
    );
    await expect(
      makeDirectories(
        connection,
        [{ path: join(folder, "theirs/conf.d/x/y"), mode: "0700", owner: "admin" }],
        accounts,
      ),
    ).rejects.toThrow(/symbolic link/);
    writeFileSync(join(roots, "a"), "precious");
    await expect(removeFiles(connection, [wanted.path])).rejects.toThrow(/symbolic link/);
    expect(readdirSync(roots)).toEqual(["a"]);
    // Links that root owns are followed.
    lchownSync(join(folder, "theirs", "conf.d"), 0, 0);
    await writeFiles(connection, [wanted], accounts);
    expect(readFileSync(join(roots, "a"), "utf8")).toBe("text");
  });

  test("by a link that replaces the temporary file during the write", async () => {
    writeFileSync(join(roots, "precious"), "precious", { mode: 0o600 });
    const theirs = join(folder, "theirs");
    // Replaces the temporary file with a link just before root writes it, changes its owner and opens it to all.
    const programs = during(
      "mktemp",
      `made=$(mktemp "$@"); case $made in *pgbackstop*) mv "$made" "${theirs}/aside"; ln -s "${roots}/precious" "$made"; chown -h ${STRANGER} "$made";; esac; echo "$made"`,
    );
    try {
      const all = accountsFor(connection.login, owned);
      await expect(
        writeFiles(connection, [{ ...file("theirs/a", "mine", "0644"), owner: "database" }], all),
      ).rejects.toThrow();
    } finally {
      vi.unstubAllEnvs();
      rmSync(programs, { recursive: true });
    }
    const { mode, uid } = statSync(join(roots, "precious"));
    expect([readFileSync(join(roots, "precious"), "utf8"), mode & 0o777, uid]).toEqual(["precious", 0o600, 0]);
  });

  test("by a link that replaces a directory during its creation", async () => {
    const theirs = join(folder, "theirs");
    const programs = during(
      "mktemp",
      `made=$(mktemp "$@"); rmdir "$made"; ln -s "${roots}" "$made"; chown -h ${STRANGER} "$made"; echo "$made"`,
    );
    try {
      const all = accountsFor(connection.login, owned);
      const spool = { path: join(theirs, "spool"), mode: "0777", owner: "database" as const };
      await expect(makeDirectories(connection, [spool], all)).rejects.toThrow(/symbolic link/);
    } finally {
      vi.unstubAllEnvs();
      rmSync(programs, { recursive: true });
    }
    const { mode, uid } = statSync(roots);
    expect([mode & 0o777, uid]).toEqual([0o700, 0]);
  });
});

test("a link is replaced, not followed; a directory is refused", async () => {
  writeFileSync(join(folder, "elsewhere"), "precious");
  symlinkSync(join(folder, "elsewhere"), join(folder, "a"));
  await writeFiles(connection, [file("a", "mine")], accounts);
  expect(readFileSync(join(folder, "elsewhere"), "utf8")).toBe("precious");
  expect(lstatSync(join(folder, "a")).isFile()).toBe(true);
  mkdirSync(join(folder, "d"));
  await expect(writeFiles(connection, [file("d", "x")], accounts)).rejects.toThrow("is a directory");
});

test("facts state kind, mode, owner and digest of every path in their order", async () => {
  writeFileSync(join(folder, "a"), "text", { mode: 0o600 });
  symlinkSync("nowhere", join(folder, "l"));
  const paths = ["a", "l", "none", "."].map((name) => join(folder, name));
  const facts = [...(await readFacts(connection, paths)).values()];
  expect(facts.map((fact) => fact.kind)).toEqual(["file", "link", "missing", "directory"]);
  const [first, link, missing] = facts;
  if (first === undefined || link === undefined || missing === undefined) throw new Error("no facts");
  expect(factText(first, "database", accounts)).toBe(
    desiredText({ mode: "0600", owner: "database" }, sha256Hex("text")),
  );
  expect(factText({ ...first, uid: 4711, gid: 42 }, "admin", accounts)).toContain("0600 4711:42 sha256:");
  expect([factText(link, "admin", accounts), factText(missing, "admin", accounts)]).toEqual([
    "a link instead of a file",
    "missing",
  ]);
});

test("directories are created with their ancestors, reported, and removed only when empty", async () => {
  const leaf = { path: join(folder, "x/y/z"), mode: "0700", owner: "database" as const };
  const made = await makeDirectories(connection, [leaf], accounts);
  expect(made).toEqual(["x", "x/y", "x/y/z"].map((name) => join(folder, name)));
  expect([statSync(join(folder, "x/y")).mode & 0o777, statSync(leaf.path).mode & 0o777]).toEqual([0o755, 0o700]);
  expect(await makeDirectories(connection, [{ ...leaf, mode: "0755" }], accounts)).toEqual([]);
  expect(statSync(leaf.path).mode & 0o777).toBe(0o700);
  writeFileSync(join(folder, "x/y/of the user"), "");
  expect(await removeDirectories(connection, made)).toEqual([join(folder, "x/y"), join(folder, "x")]);
  expect(existsSync(leaf.path)).toBe(false);
});

test.each(["mktemp", "chmod", "mv"])(
  "a directory whose creation ended at its %s has its rights after the next one",
  async (program) => {
    const leaf = { path: join(folder, "spool"), mode: "0700", owner: "admin" as const };
    const programs = mkdtempSync(join(tmpdir(), "pgb-kill-"));
    const real = process.env["PATH"] ?? "";
    writeFileSync(join(programs, program), `#!/bin/sh\nPATH='${real}'\n${program} "$@"\nkill -KILL $PPID\n`, {
      mode: 0o755,
    });
    vi.stubEnv("PATH", `${programs}:${real}`);
    try {
      await expect(makeDirectories(connection, [leaf], accounts)).rejects.toThrow(/unable to make the directory/);
    } finally {
      vi.unstubAllEnvs();
      rmSync(programs, { recursive: true });
    }
    for (const name of readdirSync(folder)) utimesSync(join(folder, name), new Date(0), new Date(0));
    await makeDirectories(connection, [leaf], accounts);
    expect(statSync(leaf.path).mode & 0o777).toBe(0o700);
    expect(readdirSync(folder)).toEqual(["spool"]);
  },
);

test("directories that two updates create concurrently exist for both", async () => {
  for (let round = 0; round < 10; round++) {
    const leaf = { path: join(folder, `${round}`, "a", "b", "c"), mode: "0700", owner: "admin" as const };
    const made = await Promise.all(Array.from({ length: 6 }, () => makeDirectories(connection, [leaf], accounts)));
    // Exactly one of them created each directory.
    expect(made.flat().sort()).toEqual([...new Set(made.flat())].sort());
    expect(statSync(leaf.path).isDirectory()).toBe(true);
  }
});

test("removing files leaves directories and ignores missing ones", async () => {
  writeFileSync(join(folder, "a"), "");
  mkdirSync(join(folder, "d"));
  await removeFiles(
    connection,
    ["a", "d", "none"].map((name) => join(folder, name)),
  );
  expect(readdirSync(folder)).toEqual(["d"]);
});
