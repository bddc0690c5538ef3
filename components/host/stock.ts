/**
 * Stock pgBackRest on a host, where it is the engine: whether its version is fit for what is declared, and its verbs. What is read (settings,
 * what repositories hold) the runtime reads, beside it.
 */
import { isInRange, postgresLimit, type StockLimit } from "../plan/engines/stockVersions";
import { type Account, CommandFailed, type Connection } from "./connection";
import { createStanza, type EngineVerbs, type RuntimeOnHost, runVerb, VERB_TIMEOUT_MS, BACKUP_TIMEOUT_MS } from "./runtimeVerbs";

/** What an update has to know of it. */
export interface StockOnHost {
  /** Program and options that every verb shares. */
  readonly argv: readonly string[];
  /** What versions cannot do for the declared repositories. */
  readonly limits: readonly StockLimit[];
}

/** @throws Error when it cannot be run, or is a version that cannot do what is declared; what it does badly is told */
export async function checkStock(connection: Connection, stock: StockOnHost, account: Account, tell: (line: string) => void): Promise<string> {
  const version = await readStockVersion(connection, stock, account);
  const found = stock.limits.filter((limit) => isInRange(limit, version));
  const texts = found.map(({ code, path, fact, hint }) => ({ code, text: `${path}: with pgBackRest ${version} ${fact}; ${hint}` }));
  const faults = texts.filter(({ code }) => code === "PB048");
  if (faults.length > 0) throw new Error(faults.map(({ code, text }) => `${code} ${text}`).join("\n"));
  for (const { code, text } of texts) tell(`WARN: ${code} ${text}`);
  return version;
}

/** @param serverVersion as PostgreSQL counts: 170004. @throws Error when this version of stock does not know that PostgreSQL */
export function checkStockKnows(version: string, serverVersion: number): void {
  const limit = postgresLimit(version, Math.floor(serverVersion / 10_000));
  if (limit !== null) throw new Error(`PB048 pgBackRest ${version} is on the host, and ${limit}: install a newer one, or use engine "runtime"`);
}

/** Stock's verbs; backups go into one repository after the other, and one that fails keeps none of the others from its turn. */
export function stockVerbs(runtime: RuntimeOnHost, { argv }: StockOnHost): EngineVerbs {
  const stock = { ...runtime, argv };
  return {
    createStanza: () => createStanza(stock),
    checkArchiving: () => runVerb(stock, "check the archiving", ["check"], VERB_TIMEOUT_MS),
    takeFull: async (repoKeys) => {
      const failures: string[] = [];
      for (const repoKey of repoKeys) {
        try {
          await runVerb(stock, `take the first backup into repo${repoKey}`, ["backup", "--type=full", `--repo=${repoKey}`], BACKUP_TIMEOUT_MS);
        } catch (error) {
          failures.push(error instanceof Error ? error.message : String(error));
        }
      }
      if (failures.length > 0) throw new Error(failures.join("\n"));
    },
  };
}

async function readStockVersion(connection: Connection, { argv }: StockOnHost, account: Account): Promise<string> {
  const program = argv[0] ?? "";
  const hint = 'install the package pgbackrest, set pgbackrestPath, or use engine "runtime"';
  const result = await connection.exec([program, "version"], { account }).catch((error: unknown) => String(error));
  if (typeof result === "string") throw new Error(`${account.name} cannot run ${program} on ${connection.name} (${result}): ${hint}`);
  if (result.exitCode !== 0)
    throw new Error(`${account.name} cannot run ${program} on ${connection.name}: ${hint}`, { cause: new CommandFailed("ask its version", result) });
  const version = /^pgBackRest ([0-9.]+)/m.exec(result.stdout)?.[1];
  if (version === undefined)
    throw new Error(`${program} on ${connection.name} is no pgBackRest: it says ${JSON.stringify(result.stdout.slice(0, 100))}`);
  return version;
}
