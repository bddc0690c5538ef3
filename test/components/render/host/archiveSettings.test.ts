import { expect, test } from "vitest";
import { postgresSettings, secondsSetting } from "../../../../components/render/host/archiveSettings";
import { plan } from "../../plans";

test("the objective sets archive_timeout, an argument overrides it, and without both it stays unchanged", () => {
  expect(Object.keys(postgresSettings(plan({ archiveTimeoutSeconds: undefined })))).toEqual([
    "archive_mode",
    "archive_command",
  ]);
  expect(
    postgresSettings(plan({ objectives: { rpoSeconds: 190 }, archiveTimeoutSeconds: undefined }))["archive_timeout"],
  ).toBe("2min");
  expect(
    postgresSettings(plan({ objectives: { rpoSeconds: 190 }, archiveTimeoutSeconds: 45 }))["archive_timeout"],
  ).toBe("45s");
});

test("WAL that leaves through a slot needs a bound for it, and no restart", () => {
  expect(postgresSettings(plan({ archive: "stream", archiveTimeoutSeconds: 60 }))).toEqual({
    max_slot_wal_keep_size: "16GB",
    archive_timeout: "1min",
  });
  // On a standby archive_timeout has no effect.
  expect(postgresSettings(plan({ archive: "standby", archiveTimeoutSeconds: 60 }))).toEqual({
    max_slot_wal_keep_size: "16GB",
  });
  expect(postgresSettings(plan({ archive: "stream", slotKeepGiB: 2048 }))["max_slot_wal_keep_size"]).toBe("2TB");
});

test("times have the server's own text form", () => {
  expect([0, 1, 59, 60, 90, 300, 3600, 5400, 86400].map(secondsSetting)).toEqual([
    "0",
    "1s",
    "59s",
    "1min",
    "90s",
    "5min",
    "1h",
    "90min",
    "1d",
  ]);
});
