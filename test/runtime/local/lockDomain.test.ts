import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockDomain } from "../../../runtime/local/lockDomain";
import { seededRandom } from "../../harness/context";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "domain-"));
  mkdirSync(join(root, "a"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));
const self = { uid: process.getuid?.() ?? 0 };
const domainOf = (path: string, seed = 1, owner = self): string | null => lockDomain(path, owner, seededRandom(seed));

test("is the same for every process of a lock path, and another one for another path", () => {
  const first = domainOf(join(root, "a"), 1);
  expect(first).toMatch(/^[0-9a-f]{32}$/);
  expect(domainOf(join(root, "a"), 2)).toBe(first);
  mkdirSync(join(root, "b"));
  expect(domainOf(join(root, "b"), 1)).not.toBe(first);
  expect(readdirSync(join(root, "a"))).toEqual(["pgbackstop.domain"]);
  expect(statSync(join(root, "a/pgbackstop.domain")).mode & 0o777).toBe(0o600);
});

test("of a lock path that was copied with an image is another one", () => {
  const first = domainOf(join(root, "a"));
  cpSync(join(root, "a"), join(root, "b"), { recursive: true });
  expect(domainOf(join(root, "b"))).not.toBe(first);
});

test("is null if another account may have made or may change the file", () => {
  const path = join(root, "a");
  domainOf(path);
  expect(domainOf(path, 1, { uid: self.uid + 1 })).toBeNull();
  chmodSync(join(path, "pgbackstop.domain"), 0o666);
  expect(domainOf(path)).toBeNull();
});

test("is null behind a link, with an empty file, or when nothing can be created", () => {
  writeFileSync(join(root, "planted"), "0".repeat(32), { mode: 0o600 });
  symlinkSync(join(root, "planted"), join(root, "pgbackstop.domain"));
  expect(domainOf(root)).toBeNull();
  rmSync(join(root, "pgbackstop.domain"));
  writeFileSync(join(root, "pgbackstop.domain"), "", { mode: 0o600 });
  expect(domainOf(root)).toBeNull();
  expect(domainOf(join(root, "missing"))).toBeNull();
});
