/** Finds the real parts that a group of interop tests needs, or prints one loud line that says what is missing. */
import { test } from "vitest";
import { findVersitygw } from "../../../tools/parts/kubernetes/goTools";
import { findStockPgbackrest, type StockPgbackrest, type StockVersion } from "../../../tools/parts/debian/pgbackrest";
import { findOnPath, run } from "../../../tools/parts/process";
import { isRoot } from "../../../tools/parts/users";
import { findPostgres, type PostgresBinaries } from "../../../tools/parts/postgres/postgres";

export interface InteropParts {
  readonly binaries: PostgresBinaries;
  readonly stock: StockPgbackrest;
}

/** PostgreSQL and stock pgBackRest. If this machine lacks one of them: null, and {@link skipped}. */
export async function findParts(
  title: string,
  postgresMajor: number,
  stockVersion: StockVersion,
): Promise<InteropParts | null> {
  const postgres = await findPostgres(postgresMajor);
  const stock = await findStockPgbackrest(stockVersion);
  if ("missing" in postgres) return skipped(title, postgres.missing);
  if ("missing" in stock) return skipped(title, stock.missing);
  return { binaries: postgres.binaries, stock: stock.pgbackrest };
}

/** True if versitygw can start; otherwise {@link skipped}. */
export async function hasVersitygw(title: string): Promise<boolean> {
  if ((await findVersitygw()) !== null) return true;
  skipped(title, "versitygw is not built: npm test -- --all builds it");
  return false;
}

/** True if `@pulumi/command`'s provider is on PATH; otherwise prints a loud line. No package registry has it. */
export async function hasCommandProvider(title: string): Promise<boolean> {
  if ((await findOnPath("pulumi-resource-command")) !== null) return true;
  loud(title, "pulumi-resource-command is not on PATH: Pulumi's releases have it");
  return false;
}

/** A loud line, and a skipped test, so that the run counts it: for a group of tests before its first one. */
export function skipped(title: string, missing: string): null {
  test.skip(missing, () => undefined);
  return loud(title, missing);
}

/** Prints to stderr that a group of tests is skipped. No reporter hides stderr. */
export function loud(title: string, missing: string): null {
  process.stderr.write(`\n!! skipped: ${title}: ${missing}\n`);
  return null;
}

/** True if tests may mount file systems of their own here; otherwise {@link loud}. */
export async function canMountTmpfs(title: string): Promise<boolean> {
  const script = "d=$(mktemp -d) && mount -t tmpfs -o size=1m tmpfs $d && umount $d && rmdir $d";
  if (isRoot() && (await run("/bin/sh", ["-c", script])).exitCode === 0) return true;
  loud(title, "needs root and the right to mount a tmpfs");
  return false;
}

/** The S3 server for tests that need strict checks: versitygw, or s3rver if versitygw is not built. */
export async function s3Kind(): Promise<"versitygw" | "s3rver"> {
  return (await findVersitygw()) === null ? "s3rver" : "versitygw";
}
