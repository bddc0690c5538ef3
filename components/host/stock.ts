/**
 * Stock pgBackRest as the engine of a host: checks that its version supports the declaration, and runs its verbs. The
 * runtime next to it does the reading (settings, content of repositories).
 */
import { isInRange, postgresLimit, type StockLimit } from "../plan/engines/stockVersions";
import { type Account, CommandFailed, type Connection, type LogLine } from "./connection";
import {
  createStanza,
  type EngineVerbs,
  type RuntimeOnHost,
  runVerb,
  VERB_TIMEOUT_MS,
  BACKUP_TIMEOUT_MS,
} from "./runtimeVerbs";

/** What an update must know about it. */
export interface StockOnHost {
  /** Program and options that every verb shares. */
  readonly argv: readonly string[];
  /** Limits of versions that matter for the declared repositories. */
  readonly limits: readonly StockLimit[];
}

/** @throws Error if it cannot run, or its version does not support the declaration; reports what it does badly */
export async function checkStock(
  connection: Connection,
  stock: StockOnHost,
  account: Account,
  log: LogLine,
): Promise<string> {
  const version = await readStockVersion(connection, stock, account);
  const limits = stock.limits.filter((limit) => isInRange(limit, version));
  const texts = limits.map(({ code, path, fact, hint }) => ({
    code,
    text: `${path}: with pgBackRest ${version} ${fact}; ${hint}`,
  }));
  const faults = texts.filter(({ code }) => code === "PB048");
  if (faults.length > 0) throw new Error(faults.map(({ code, text }) => `${code} ${text}`).join("\n"));
  for (const { code, text } of texts) log(`WARN: ${code} ${text}`);
  return version;
}

/**
 * @param serverVersion as PostgreSQL counts: 170004.
 * @throws Error if this version of stock does not support that PostgreSQL
 */
export function checkStockKnows(version: string, serverVersion: number): void {
  const limit = postgresLimit(version, Math.floor(serverVersion / 10_000));
  if (limit !== null)
    throw new Error(
      `PB048 pgBackRest ${version} is on the host, and ${limit}: install a newer one, or use engine "runtime"`,
    );
}

/** Stock's verbs; backups go into one repository after the other, and a failure does not stop the others. */
export function stockVerbs(runtime: RuntimeOnHost, { argv }: StockOnHost): EngineVerbs {
  const stock = { ...runtime, argv };
  const takeEach = async (what: string, type: "full" | "incr", repoIndexes: readonly number[]): Promise<void> => {
    const failures: string[] = [];
    for (const repoIndex of repoIndexes) {
      const args = ["backup", `--type=${type}`, `--repo=${repoIndex}`];
      try {
        await runVerb(stock, `${what} into repo${repoIndex}`, args, BACKUP_TIMEOUT_MS);
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (failures.length > 0) throw new Error(failures.join("\n"));
  };
  return {
    createStanza: () => createStanza(stock),
    checkArchiving: () => runVerb(stock, "check the archiving", ["check"], VERB_TIMEOUT_MS),
    takeFull: (repoIndexes) => takeEach("take the first backup", "full", repoIndexes),
    takeIncremental: (repoIndexes) => takeEach("take a backup after the gap in the WAL", "incr", repoIndexes),
  };
}

async function readStockVersion(connection: Connection, { argv }: StockOnHost, account: Account): Promise<string> {
  const program = argv[0] ?? "";
  const hint = 'install the package pgbackrest, set pgbackrestPath, or use engine "runtime"';
  const result = await connection.exec([program, "version"], { account }).catch((error: unknown) => String(error));
  if (typeof result === "string")
    throw new Error(`${account.name} cannot run ${program} on ${connection.name} (${result}): ${hint}`);
  if (result.exitCode !== 0)
    throw new Error(`${account.name} cannot run ${program} on ${connection.name}: ${hint}`, {
      cause: new CommandFailed("ask its version", result),
    });
  const version = /^pgBackRest ([0-9.]+)/m.exec(result.stdout)?.[1];
  if (version === undefined)
    throw new Error(
      `${program} on ${connection.name} is not pgBackRest: it prints ${JSON.stringify(result.stdout.slice(0, 100))}`,
    );
  return version;
}
