import * as fc from "../../../harness/properties";
import { expect, test } from "vitest";
import { estimateRepository } from "../../../../components/plan/storage/cost";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import { BUCKET, markedPlan, plan } from "../../plans";

const SIZING = { databaseGiB: 100, walGiBPerDay: 10, changedGiBPerDay: 2, compressedTo: 0.5 };
const WEEKLY = { full: { cron: "0 3 * * 0" } };

function costOf(over: {
  sizing?: typeof SIZING;
  keepDays?: number;
  keepFullCount?: number;
  keep?: object;
  provider?: string;
  facts?: object;
  schedules?: object;
  more?: object;
}) {
  const { s3 } = BUCKET.at;
  if (s3 === undefined) throw new Error("no bucket");
  const { keepFullCount: _count, ...bare } = BUCKET;
  const repository = {
    ...bare,
    ...(over.keepDays === undefined ? {} : { keepDays: over.keepDays }),
    ...(over.keepFullCount === undefined ? {} : { keepFullCount: over.keepFullCount }),
    ...(over.keep === undefined ? {} : { keep: over.keep }),
    at: { ...BUCKET.at, s3: { ...s3, quirks: over.provider ?? "b2", facts: over.facts ?? {} } },
  };
  const made = markedPlan({
    repositories: { repo1: repository },
    schedules: over.schedules ?? WEEKLY,
    sizing: over.sizing ?? SIZING,
    ...over.more,
  });
  const [first] = made.repositories;
  if (first === undefined) throw new Error("no repository");
  return estimateRepository(first, made);
}

test("two weeks on B2: three full backups and three weeks of WAL", () => {
  // 3 full backups of 50 GiB and 21 days of 5 GiB: 255 GiB are 273.8 GB. The first 10 GB are free.
  expect(costOf({ keepDays: 14 })).toMatchObject({ currency: "USD", storedGb: 273.8, perMonth: 1.83, perRestore: 0 });
});

test("by count: one more than the number kept, while the newest is being made", () => {
  expect(costOf({ keepFullCount: 2 })?.storedGb).toBe(273.8);
});

test("a calendar costs what it keeps beyond the window, each period once", () => {
  const stored = (keep: object): number => costOf({ keepDays: 14, keep })?.storedGb ?? 0;
  // Two weeks and the next one are in the window anyway.
  expect(stored({ weekly: 3 })).toBe(273.8);
  // 343.8 days more, with 50 GiB for each 30.4 of them.
  expect(stored({ monthly: 12 })).toBeCloseTo(273.8 + 607.2, 0);
  expect(stored({ weekly: 5, monthly: 12, yearly: 7 })).toBeGreaterThan(stored({ monthly: 12, yearly: 7 }));
  expect(stored({ yearly: 7 })).toBeLessThan(stored({ monthly: 12, yearly: 7 }));
});

test("versions that are kept after expiry cost too", () => {
  expect(costOf({ keepDays: 14, facts: { undeleteDays: 14 } })?.storedGb).toBeGreaterThan(273.8 + 14 * 5);
});

test("R2 charges for calls and not for egress, S3 for both", () => {
  expect(costOf({ keepDays: 14, provider: "r2" })).toMatchObject({ perMonth: 3.96, perRestore: 0 });
  const aws = costOf({ keepDays: 14, provider: "aws" });
  expect(aws?.perMonth).toBeGreaterThan(6);
  expect(
    costOf({ keepDays: 14, provider: "aws", sizing: { ...SIZING, databaseGiB: 1000 } })?.perRestore,
  ).toBeGreaterThan(30);
});

test("looking costs calls too: metrics of an agent each minute, streaming by its interval", () => {
  const small = { databaseGiB: 0.1, walGiBPerDay: 0.01, changedGiBPerDay: 0.01, compressedTo: 0.5 };
  const aws = (more: object): number => costOf({ keepDays: 14, provider: "aws", sizing: small, more })?.perMonth ?? 0;
  const timer = aws({});
  const minutes = aws({ monitoring: { listen: "127.0.0.1:9854" } });
  // 43,200 - 8,640 more turns of 2 listings and 3 reads: 0.35 + 0.04 USD.
  expect(minutes - timer).toBeCloseTo(0.39, 1);
  // docs/streaming.md: 2.60 of pieces and 0.90 of listings.
  expect(aws({ streaming: { intervalSeconds: 5 } }) - timer).toBeCloseTo(3.5, 0);
  expect(
    costOf({ keepDays: 14, provider: "b2", sizing: small, more: { streaming: { intervalSeconds: 5 } } })?.perMonth,
  ).toBe(0);
});

test("a minimum duration makes short retention expensive", () => {
  const short = costOf({
    keepDays: 1,
    provider: "wasabi",
    schedules: { full: { cron: "0 3 * * *" } },
    sizing: { ...SIZING, databaseGiB: 2000 },
  });
  const long = costOf({
    keepDays: 89,
    provider: "wasabi",
    schedules: { full: { cron: "0 3 * * *" } },
    sizing: { ...SIZING, databaseGiB: 2000 },
  });
  expect(short?.perMonth).toBeGreaterThan((long?.perMonth ?? 0) * 0.9);
});

test("no price is null, not zero: directories, unknown providers, no sizing, values that are not known yet", () => {
  expect(costOf({ keepDays: 14, provider: "minio" })).toBeNull();
  expect(costOf({ keepDays: unknownMarker(0) as never })).toBeNull();
  const made = plan();
  for (const repository of made.repositories) expect(estimateRepository(repository, made)).toBeNull();
});

test("more data and longer retention never cost less", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5000 }),
      fc.integer({ min: 1, max: 400 }),
      fc.constantFrom("b2", "r2", "aws"),
      (databaseGiB, keepDays, provider) => {
        const base = costOf({ sizing: { ...SIZING, databaseGiB }, keepDays, provider });
        const bigger = costOf({ sizing: { ...SIZING, databaseGiB: databaseGiB + 100 }, keepDays, provider });
        const longer = costOf({ sizing: { ...SIZING, databaseGiB }, keepDays: keepDays + 30, provider });
        expect(bigger?.perMonth).toBeGreaterThanOrEqual(base?.perMonth ?? Number.NaN);
        expect(longer?.perMonth).toBeGreaterThanOrEqual(base?.perMonth ?? Number.NaN);
      },
    ),
    { numRuns: 50 },
  );
});
