/** Entries of `acknowledgeWeaker` in a preview: those that fit what is declared, and those that fit nothing. */
import { expect, test } from "vitest";
import { checkHost } from "../../../components/plan/rules";
import { unknownMarker } from "../../../components/plan/model/unknown";
import { BUCKET, NAS, plan } from "../plans";

const REASON = "the NAS is full until the new disks come";

function said(key: string, reason = REASON, over: Parameters<typeof plan>[0] = {}): string[] {
  return checkHost(plan({ ...over, acknowledgeWeaker: { [key]: reason } })).map(
    ({ code, path, message, hint }) => `${code} ${path}: ${message}; ${hint}`,
  );
}

test.each([
  "repositories.repo1.keepDays=7",
  "repositories.repo1.encrypted=false",
  "repositories.repo2.keepFullCount=4",
  "repositories.repo2.bucket.immutableDays=none",
  "repositories.repo2.location=s3://ledger-backups/ledger",
  "repositories.repo3=removed",
  "schedules.full.cron=30 2 * * 0",
  "schedules.incr=removed",
  "drills.weekly=removed",
  "objectives.rpoSeconds=none",
  "copies.providers=2",
  "acknowledge=all",
  "stanza=main",
  "database=removed",
])("%s can bring what is declared", (key) => {
  expect(said(key)).toEqual([]);
});

test("another value than the declared one is told, with the key that fits", () => {
  expect(said("repositories.repo1.keepDays=3")).toEqual([
    'PB098 acknowledgeWeaker.repositories.repo1.keepDays=3: no change to what is declared is called "repositories.repo1.keepDays=3": ' +
      "it acknowledges nothing; remove it, or write what is meant: repositories.repo1.keepDays=7",
  ]);
});

test("a slip of the pen is told, with the keys that begin like it", () => {
  const [text = ""] = said("repositories.repo1.keepsDays=7");
  expect(text).toContain("PB098");
  expect(text).toContain("repositories.repo1.keepDays=7");
  expect(text).not.toContain("repo2");
});

test("what is still there is not removed; without a reason nothing is acknowledged", () => {
  expect(said("repositories.repo2=removed")).toHaveLength(1);
  expect(said("repositories.repo1.keepDays=7", " ")).toEqual([
    "PB098 acknowledgeWeaker.repositories.repo1.keepDays=7: it has no reason, and counts for nothing without one; write why it is meant",
  ]);
});

test("a value that is not known yet may be any", () => {
  const later = { repositories: { repo1: { ...NAS, keepDays: unknownMarker(0) as never }, repo2: BUCKET } };
  expect(said("repositories.repo1.keepDays=3", REASON, later)).toEqual([]);
});
