/** Parts of a report's document. */
import type { ReportedDatabase, ReportedRepo } from "../../../../runtime/operations/report/reportFields";

export const DAY_S = 86_400;
export const NOW_S = 1_795_000_000;

/** Well, with two full backups. */
export function reportedRepo(over: Partial<ReportedRepo> = {}): ReportedRepo {
  const backups = [10, 3].map((days) => {
    const stoppedAtS = NOW_S - days * DAY_S;
    const common = { databaseBytes: 2 ** 30, startedAtS: stoppedAtS - 600, stoppedAtS, storedBytes: 2 ** 28 };
    return { label: `backup-${days}F`, type: "full" as const, ...common };
  });
  return {
    key: 1,
    location: "s3://orders-pg/orders",
    encrypted: true,
    troubles: [],
    backups,
    windows: [{ fromS: NOW_S - 10 * DAY_S, toS: NOW_S - 60 }],
    gaps: [],
    newestWalS: NOW_S - 60,
    walBytes: 5 * 2 ** 30,
    ...over,
  };
}

export function reportedDatabase(over: Partial<ReportedDatabase> = {}): ReportedDatabase {
  return { host: "db-1", stanza: "orders", atS: NOW_S, troubles: [], repos: [reportedRepo()], drills: [], ...over };
}
