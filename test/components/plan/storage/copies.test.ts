import { expect, test } from "vitest";
import { copiesOf, copiesText } from "../../../../components/plan/storage/copies";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import { BUCKET, markedPlan, NAS, plan } from "../../plans";

const text = (over: Parameters<typeof plan>[0]): string => copiesText(copiesOf(plan(over)));
const FULL = { cron: "0 3 * * 0" };

test("a NAS and a bucket of a vendor make 3-2-1", () => {
  expect(text({})).toBe("3-2-1");
});

test("a repository without full backups is no copy, however much WAL it gets", () => {
  expect(text({ schedules: { full: { ...FULL, repositories: ["repo2"] }, incr: { cron: "0 4 * * *" } } })).toBe(
    "2-1-1",
  );
});

test("two buckets of one vendor are one provider", () => {
  const other = { ...BUCKET, at: { ...BUCKET.at, path: "/other" } };
  expect(text({ repositories: { repo1: BUCKET, repo2: other } })).toBe("3-1-2");
});

test("a directory on another site counts as off-site when the user says so", () => {
  expect(text({ repositories: { repo1: { ...NAS, at: { ...NAS.at, offSite: true } } } })).toBe("2-1-1");
});

test("unknown locations are not counted", () => {
  const { s3 } = BUCKET.at;
  if (s3 === undefined) throw new Error("no bucket");
  const next = { ...BUCKET, at: { ...BUCKET.at, s3: { ...s3, endpoint: unknownMarker(0) } } };
  expect(copiesOf(markedPlan({ repositories: { repo1: NAS, repo2: next } }))).toEqual({
    copies: 3,
    providers: 1,
    offSite: 0,
    known: false,
  });
});
