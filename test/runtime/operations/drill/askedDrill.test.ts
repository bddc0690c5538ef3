import { expect, test } from "vitest";
import { parseSettings } from "../../../../runtime/config/settings";
import { objectivesOf } from "../../../../runtime/operations/drill/askedDrill";

const settings = parseSettings(
  JSON.stringify({
    drill: { objectives: { rtoSeconds: 1800, pitrRtoSeconds: 3600, rpoSeconds: 300 } },
    repos: { repo2: { expectBackupWithinS: 90_000 } },
  }),
  "pgbackstop.json",
);

test("a drill to a point in time has its own RTO, and each repository its own age", () => {
  expect(objectivesOf(settings, { pick: "newest", repo: 1 })).toEqual({ rtoSeconds: 1800, rpoSeconds: 300 });
  expect(objectivesOf(settings, { pick: "moment", repo: 2 })).toEqual({
    rtoSeconds: 3600,
    rpoSeconds: 300,
    backupAgeSeconds: 90_000,
  });
});

test("without an RTO of its own, a point in time has the common one", () => {
  const common = parseSettings('{"drill":{"objectives":{"rtoSeconds":1800}}}', "pgbackstop.json");
  expect(objectivesOf(common, { pick: "moment", repo: 1 })).toEqual({ rtoSeconds: 1800 });
});
