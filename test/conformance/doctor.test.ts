/** `doctor` on every kind of storage: what works, what a key cannot do, what is dangerous. It leaves nothing behind. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fail } from "../../runtime/base/errors";
import { openStorage } from "../../runtime/storage/open";
import { deps, doctor, GOOD, verdicts } from "../harness/doctor";
import { FaultyStorage } from "../harness/network/faults";
import { posixRepo } from "../harness/repositories";
import { MemoryStorage } from "../harness/doubles/storages";

test("a correct storage passes every check, and doctor leaves nothing behind", async () => {
  const storage = new MemoryStorage();
  const result = await doctor(storage);
  expect(verdicts(result)).toEqual(GOOD.map((name) => `ok ${name}`));
  expect(result.error).toBeNull();
  expect(storage.paths()).toEqual([]);
});

test("a key without write access is still checked for everything else", async () => {
  const storage = new FaultyStorage(new MemoryStorage());
  storage.plan("put", { kind: "error", error: fail("access", "denied") });
  const result = await doctor(storage);
  expect(verdicts(result)).toEqual(["ok list", "fail write", "ok missing"]);
  expect(result.error).toMatchObject({ kind: "access", message: "denied" });
});

test.each([
  ["putStream", { kind: "truncate", sizeBytes: 100 }, "large", /has 100 bytes, 65536 were written/],
  ["removePath", { kind: "lie" }, "remove", /4 of 4 files are still listed/],
  ["put", { kind: "truncate", sizeBytes: 3 }, "read", /differ from the 10 written/],
] as const)("a storage with a %s that gives wrong answers", async (method, fault, name, text) => {
  const storage = new FaultyStorage(new MemoryStorage());
  storage.plan(method, fault);
  const result = await doctor(storage);
  const failed = result.facts.filter((fact) => fact.verdict === "fail");
  expect(failed.map((fact) => fact.name)).toContain(name);
  expect(failed.map((fact) => fact.text).join("\n")).toMatch(text);
  expect(result.error).not.toBeNull();
});

describe("a directory", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "pgb-doctor-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  // claim: README.md: `doctor` reports what a directory, an SFTP account and a bucket's key can and cannot do, and what
  //   is dangerous
  test("reports owner, mount and free space", async () => {
    const result = await doctor(openStorage(posixRepo(folder), deps));
    expect(verdicts(result).slice(0, GOOD.length)).toEqual(GOOD.map((name) => `ok ${name}`));
    const text = (name: string): string => result.facts.find((fact) => fact.name === name)?.text ?? "";
    expect(text("owner")).toMatch(/^user \d+, group \d+, mode 0700$/);
    expect(text("space")).toMatch(/^[0-9.]+ of [0-9.]+ GiB free$/);
    expect(text("mount")).toMatch(/^on the (root file system|file system mounted at)/);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("that does not exist is not created: the NAS may be unmounted", async () => {
    const result = await doctor(openStorage(posixRepo(join(folder, "nas", "repo")), deps));
    expect(verdicts(result)).toEqual(["fail list"]);
    expect(result.error?.message).toContain("check the mount");
    expect(readdirSync(folder)).toEqual([]);
  });
});
