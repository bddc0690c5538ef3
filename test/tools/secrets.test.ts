import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findSecrets, holdsSecret } from "../harness/compare/secrets";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pgb-secrets-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("a planted secret is found in files of any depth, plain and in base64, and links are not followed", () => {
  mkdirSync(join(folder, "a", "b"), { recursive: true });
  writeFileSync(join(folder, "a", "plain"), "key=planted-secret-1\n");
  writeFileSync(join(folder, "a", "b", "coded"), Buffer.from("planted-secret-2").toString("base64"));
  writeFileSync(join(folder, "clean"), "nothing");
  symlinkSync(join(folder, "a", "plain"), join(folder, "link"));
  expect(findSecrets(folder, ["planted-secret-1", "planted-secret-2"])).toEqual(["a/b/coded", "a/plain"]);
  expect(findSecrets(folder, ["other"])).toEqual([]);
});

test("bytes are searched as they are", () => {
  expect(holdsSecret(Uint8Array.from([0, 255, ...Buffer.from("planted")]), ["planted"])).toBe(true);
  expect(holdsSecret("", ["planted"])).toBe(false);
});
