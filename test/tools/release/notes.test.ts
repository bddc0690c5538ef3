import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { projectFolder } from "../../../tools/parts/cache";
import { findObstacles, firstCommands, mustHave, sectionOf } from "../../../tools/release/notes";

const CHANGELOG =
  "# Changelog\n\n## 0.2.0 (unreleased)\n\n- Second.\n\n## 0.1.0 (2026-12-01)\n\n### Runtime\n\n- First.\n";
const of = (owner: string): { version: string; repository: { url: string } } => ({
  version: "0.1.0",
  repository: { url: `git+https://github.com/${owner}/pgbackstop.git` },
});

test("the notes of a version are its section of the changelog", () => {
  expect(sectionOf(CHANGELOG, "0.1.0")).toEqual({ state: "2026-12-01", text: "### Runtime\n\n- First." });
  expect(sectionOf(CHANGELOG, "0.2.0")).toEqual({ state: "unreleased", text: "- Second." });
  expect(() => sectionOf(CHANGELOG, "0.1")).toThrow('CHANGELOG.md has no section "## 0.1 (date)"');
});

test("nothing stands against a dated version with its own tag in its own repository", () => {
  expect(findObstacles(of("acme"), "2026-12-01", { tag: "v0.1.0", repository: "acme/pgbackstop" })).toEqual([]);
});

test("a version is not published without its date, under another tag, or from another repository", () => {
  expect(findObstacles(of("__OWNER__"), "unreleased", { tag: "v0.2.0", repository: "acme/pgbackstop" })).toEqual([
    'CHANGELOG.md calls the version "unreleased": write its date',
    "the tag is v0.2.0, but package.json has 0.1.0: npm version and the tag must agree",
    "package.json names __OWNER__/pgbackstop: write the owner of the repository",
    "package.json names __OWNER__/pgbackstop, but this is acme/pgbackstop: npm refuses a provenance from elsewhere",
  ]);
});

test("a run with a tag makes the image, and as root a bare Debian; one without skips what this machine cannot make", () => {
  for (const isRoot of [true, false]) {
    expect(mustHave("the image", { tag: "v0.1.0", isRoot })).toBe(true);
    expect(mustHave("a bare Debian", { tag: "v0.1.0", isRoot })).toBe(isRoot);
    expect(mustHave("the image", { isRoot })).toBe(false);
    expect(mustHave("a bare Debian", { isRoot })).toBe(false);
  }
});

test("a stranger's first commands are README's, with the tarball in place of the registry's package", () => {
  const readme = readFileSync(join(projectFolder(), "README.md"), "utf8");
  expect(firstCommands(readme, "0.1.0")).toMatch(/^npm install \.\/pgbackstop-0\.1\.0\.tgz( +#.*)?$/);
  expect(() => firstCommands(readme.replace("npm install pgbackstop", "npm install other"), "0.1.0")).toThrow(
    "README.md no longer begins with `npm install pgbackstop`",
  );
});
