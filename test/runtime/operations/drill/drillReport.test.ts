import { expect, test } from "vitest";
import { drillNotice, drillText } from "../../../../runtime/operations/drill/drillReport";
import { record } from "./support";

test("a drill for a terminal", () => {
  expect(drillText(record("20261121-051347Z-1a2b3c4d", { objectives: { rtoSeconds: 60 } }))).toBe(
    [
      "demo: drill 20261121-051347Z-1a2b3c4d of repo1: passed",
      "  backup    20261101-020000F (full), ended 25 minutes before; newest, to the end of the archive",
      "  RTO       30.0 s, objective 60 s (restore 20.0 s)",
      "  RPO       12 s by the last commit",
      "  restored  1000 bytes",
      "  ok        recovery, 0.0 s: reached",
      "",
    ].join("\n"),
  );
});

test("a failed one shows the phase, the error and its code", () => {
  const failures = [{ where: "restore", error: "ChecksumError", code: 26, message: "a file is damaged\nand another" }];
  const text = drillText(
    record("20261121-051347Z-1a2b3c4d", {
      ok: false,
      failures,
      rtoMs: null,
      rpo: null,
      target: "immediate",
      pick: "oldest",
    }),
  );
  expect(text).toContain("of repo1: FAILED\n");
  expect(text).toContain("oldest, until it is consistent\n");
  expect(text).toContain("  RTO       none: no connection was accepted");
  expect(text).toContain("  ! restore: [ChecksumError] [026] a file is damaged\n    and another\n");
});

// claim: docs/drills-open.md: the result has no RTO
test("one that opened its backup shows what it fetched, and no RTO", () => {
  const opened = { elapsedMs: 900, fetchedBytes: 31, totalBytes: 178 };
  const text = drillText(record("20261121-051347Z-1a2b3c4d", { rtoMs: null, restoredBytes: 0, opened }));
  expect(text).toContain("  opened    first connection after 0.9 s, no RTO (restore 20.0 s)\n");
  expect(text).toContain("  fetched   31 of 178 bytes, each page verified\n");
  expect(text).not.toMatch(/RTO  |restored  /);
  expect(drillNotice(record("20261121-051347Z-1a2b3c4d", { rtoMs: null, opened })).lines).toContain(
    "the backup was opened, not restored: no RTO",
  );
});
