import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { findLastRelease } from "../../../../tools/parts/build/lastRelease";

test("without history the last release is missing for a user, and an error on a runner", async () => {
  const folder = mkdtempSync(join(tmpdir(), "no-history-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const message = "there is no git repository here, so no earlier release can be built (fatal: not a git repository";
  expect(await findLastRelease(folder, false)).toEqual({ missing: expect.stringContaining(message) });
  await expect(findLastRelease(folder, true)).rejects.toThrow(`the last release cannot be built: ${message}`);
});
