import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ConfigReader } from "../../../runtime/local/configReader";
import { isRoot, serverUser } from "../../../tools/parts/users";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "config-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, uid: number, mode = 0o640): string => {
  const path = join(folder, name);
  writeFileSync(path, "[global]\n");
  chmodSync(path, mode);
  if (isRoot()) chownSync(path, uid, uid);
  return path;
};

test("reads a file's text, and null without a file", () => {
  const reader = new ConfigReader();
  expect(reader.read(file("a.conf", 0))).toBe("[global]\n");
  expect(reader.read(join(folder, "none"))).toBeNull();
  expect(() => reader.read(folder)).toThrow("unable to open file");
});

describe.skipIf(!isRoot())("root obeys a configuration with the rights of", () => {
  const STRANGER = { uid: 61_111, gid: 65_534, name: "#61111" };
  const accountOf = (...paths: readonly string[]): unknown => {
    const reader = new ConfigReader();
    for (const path of paths) reader.read(path);
    return reader.account(paths);
  };

  test("root, if root alone can change every file", () => {
    expect(accountOf(file("a.conf", 0), file("b.conf", 0, 0o644))).toBeUndefined();
  });

  test("the account that owns a file, or a directory above it, with no group of theirs", () => {
    const path = file("b.conf", 61_111);
    expect(accountOf(file("a.conf", 0), path)).toEqual({ ...STRANGER, path });
    chownSync(folder, 61_111, 0);
    expect(accountOf(file("a.conf", 0))).toEqual({ ...STRANGER, path: folder });
  });

  test("that account with its own group from the account database, whatever group the file has", () => {
    const { gid, name, uid } = serverUser();
    const path = file("a.conf", 0);
    chownSync(path, uid, 0);
    expect(accountOf(path)).toEqual({ uid, gid, name, path });
  });

  test("the owner of the file that was read, if another file has its name by now", () => {
    const path = file("a.conf", 61_111);
    const reader = new ConfigReader();
    reader.read(path);
    file("a.conf", 0);
    expect(reader.account([path])).toMatchObject(STRANGER);
  });

  test("nobody, if two accounts can change files or others may write root's file", () => {
    expect(() => accountOf(file("a.conf", 61_111), file("b.conf", 61_112))).toThrow("can change the configuration");
    expect(() => accountOf(file("c.conf", 0, 0o660))).toThrow("other accounts than root may write");
  });
});
