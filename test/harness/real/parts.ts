/**
 * Real parts for a test. If one is missing, the test is skipped with the reason.
 *
 * `npm test` prints the same reasons loudly before it runs a tier. Here they become the note of the skipped test.
 */
import type { TestContext } from "vitest";
import { findVersitygw } from "../../../tools/parts/kubernetes/goTools";
import { findStockPgbackrest, type StockPgbackrest, type StockVersion } from "../../../tools/parts/debian/pgbackrest";
import { findPostgres, type PostgresBinaries } from "../../../tools/parts/postgres/postgres";
import { ensurePromtool } from "../../../tools/parts/debian/promtool";
import { S3Server, type S3ServerOptions } from "../../../tools/parts/servers/s3Server";

/** Stock pgBackRest of a version. Skips the test if this machine cannot have it. */
export async function stockOrSkip(test: TestContext, version: StockVersion): Promise<StockPgbackrest> {
  const result = await findStockPgbackrest(version);
  return "missing" in result ? test.skip(result.missing) : result.pgbackrest;
}

/** PostgreSQL of a major version. Skips the test if this machine cannot have it. */
export async function postgresOrSkip(test: TestContext, major: number): Promise<PostgresBinaries> {
  const result = await findPostgres(major);
  return "missing" in result ? test.skip(result.missing) : result.binaries;
}

/** Starts an S3 server. Skips the test if it asks for versitygw and that is not built. */
export async function s3ServerOrSkip(test: TestContext, options: S3ServerOptions): Promise<S3Server> {
  if (options.kind === "versitygw" && (await findVersitygw()) === null)
    return test.skip("versitygw is not built: npm test -- --all builds it");
  return S3Server.create(options);
}

/** Prometheus' promtool. Skips the test if this machine cannot have it. */
export async function promtoolOrSkip(test: TestContext): Promise<string> {
  const result = await ensurePromtool();
  return "missing" in result ? test.skip(result.missing) : result.promtool;
}
