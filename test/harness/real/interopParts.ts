/** The real parts that a group of interop tests needs, or one loud line that says what is missing. */
import { findVersitygw } from "../../../tools/parts/kubernetes/goTools";
import { findStockPgbackrest, type StockPgbackrest, type StockVersion } from "../../../tools/parts/debian/pgbackrest";
import { findPostgres, type PostgresBinaries } from "../../../tools/parts/postgres/postgres";

export interface InteropParts {
  readonly binaries: PostgresBinaries;
  readonly stock: StockPgbackrest;
}

/**
 * PostgreSQL and stock pgBackRest; null, with a loud line that names `title`, when this machine cannot have one of
 * them.
 */
export async function findParts(
  title: string,
  postgresMajor: number,
  stockVersion: StockVersion,
): Promise<InteropParts | null> {
  const postgres = await findPostgres(postgresMajor);
  const stock = await findStockPgbackrest(stockVersion);
  if ("missing" in postgres) return loud(title, postgres.missing);
  if ("missing" in stock) return loud(title, stock.missing);
  return { binaries: postgres.binaries, stock: stock.pgbackrest };
}

/** True when versitygw can be started; otherwise a loud line names `title`. */
export async function hasVersitygw(title: string): Promise<boolean> {
  if ((await findVersitygw()) !== null) return true;
  loud(title, "versitygw is not built: npm test -- --all builds it");
  return false;
}

/** Says on stderr, where no reporter hides it, that something does not run. */
export function loud(title: string, missing: string): null {
  process.stderr.write(`\n!! skipped: ${title}: ${missing}\n`);
  return null;
}

/** The S3 server for tests that look at it closely: versitygw, the stricter one; s3rver where that is not built. */
export async function s3Kind(): Promise<"versitygw" | "s3rver"> {
  return (await findVersitygw()) === null ? "s3rver" : "versitygw";
}
