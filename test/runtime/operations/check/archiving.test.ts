// claim: docs/internals/contracts.md: what two environments have…
import { expect, it } from "vitest";
import { requireArchiving } from "../../../../runtime/operations/check/archiving";

const facts = (archiveMode: string, archiveCommand: string): Parameters<typeof requireArchiving>[0] => ({
  archiveMode,
  archiveCommand,
});

it("requires stock's program name, the caller's, or none", () => {
  expect(() => requireArchiving(facts("on", "pgbackrest archive-push %p"), true, "pgbackrest")).not.toThrow();
  const other = facts("on", "/usr/local/bin/wal-archive %p");
  expect(() => requireArchiving(other, true, "pgbackrest")).toThrow(/wal-archive .*' must contain pgbackrest$/);
  expect(() => requireArchiving(other, true, "wal-archive")).not.toThrow();
  expect(() => requireArchiving(facts("on", "true"), true, "")).not.toThrow();
});

it("accepts CloudNativePG's own command, which users cannot change, as a plugin's", () => {
  expect(() =>
    requireArchiving(facts("on", "/controller/manager wal-archive --log-destination %p"), true, "pgbackrest"),
  ).not.toThrow();
});

it("refuses a server that does not archive, and one that archives on every standby unless that is wanted", () => {
  expect(() => requireArchiving(facts("off", "pgbackrest"), false, "")).toThrow("archive_mode must be enabled");
  expect(() => requireArchiving(facts("always", "pgbackrest"), true, "pgbackrest")).toThrow(
    "archive_mode=always not supported",
  );
  expect(() => requireArchiving(facts("always", "pgbackrest"), false, "pgbackrest")).not.toThrow();
});
