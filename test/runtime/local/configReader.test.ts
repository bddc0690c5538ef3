import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ConfigReader } from "../../../runtime/local/configReader";
import { isRoot } from "../../../tools/parts/users";

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

describe.skipIf(!isRoot())("as root, a program of the configuration gets the rights of", () => {
  const accountOf = (...paths: readonly string[]): unknown => {
    const reader = new ConfigReader();
    for (const path of paths) reader.read(path);
    return reader.account();
  };

  test("root, if root alone can write every file", () => {
    expect(accountOf(file("a.conf", 0), file("b.conf", 0, 0o644))).toBeUndefined();
  });

  test("the account that owns a file, or a file's directory", () => {
    expect(accountOf(file("a.conf", 0), file("b.conf", 61_111))).toEqual({ uid: 61_111, gid: 61_111 });
    chownSync(folder, 61_112, 61_112);
    expect(accountOf(file("a.conf", 0))).toEqual({ uid: 61_112, gid: 61_112 });
  });

  test("nobody, if two accounts own files or others may write root's file", () => {
    expect(() => accountOf(file("a.conf", 61_111), file("b.conf", 61_112))).toThrow("own configuration files");
    expect(() => accountOf(file("c.conf", 0, 0o660))).toThrow("other accounts may write configuration file");
  });
});
