import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runOk } from "../../../../tools/parts/process";
import { findLastRelease } from "../../../../tools/parts/build/lastRelease";

test("without history the last release is missing for a user, and an error on a runner", async () => {
  const folder = mkdtempSync(join(tmpdir(), "no-history-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const message = "there is no git repository here, so no earlier release can be built (fatal: not a git repository";
  expect(await findLastRelease(folder, false)).toEqual({ missing: expect.stringContaining(message) });
  await expect(findLastRelease(folder, true)).rejects.toThrow(`the last release cannot be built: ${message}`);
});

test("before the first release nothing is missing on a runner either", async () => {
  const folder = mkdtempSync(join(tmpdir(), "no-release-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const git = ["-C", folder, "-c", "user.name=x", "-c", "user.email=x@example.com"];
  await runOk("git", ["init", "--quiet", folder]);
  for (const text of ["one", "two"]) await runOk("git", [...git, "commit", "--quiet", "--allow-empty", "-m", text]);
  expect(await findLastRelease(folder, true)).toEqual({ missing: "there is no release yet" });
});
