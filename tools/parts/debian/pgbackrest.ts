/**
 * Stock pgBackRest, the reference for ours: Debian 12's 2.45, Debian 13's 2.55 and the newest of Debian sid (2.60 at
 * the time of writing).
 *
 * All are unpacked from Debian's packages into the cache (see debian.ts); nothing is installed. Without apt there is
 * none, and the reason says so.
 */
import { join } from "node:path";
import { unpackDebian } from "./debian";
import { type RunResult, run, runOk } from "../process";
import type { OsUser } from "../users";

export type StockVersion = "2.45" | "2.55" | "2.60";
export const STOCK_VERSIONS: readonly StockVersion[] = ["2.45", "2.55", "2.60"];
const SUITES: Readonly<Record<StockVersion, string>> = { "2.45": "bookworm", "2.55": "trixie", "2.60": "sid" };

export interface StockRunOptions {
  /** Account to run as, since PostgreSQL's data directory requires its owner. Default: this process's own. */
  readonly user?: OsUser;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

export interface StockPgbackrest {
  /** The program, on a path that a server's account can reach. */
  readonly path: string;
  /** Its folder with its libraries: to run it elsewhere, provide all of it at this path. */
  readonly folder: string;
  /** The version that it prints: `2.45`, `2.60.0`. */
  readonly version: string;
  /** Runs it; the caller checks the exit code. This process's PGBACKREST_ variables are not passed on. */
  run(args: readonly string[], options?: StockRunOptions): Promise<RunResult>;
  /** Like `run`; returns stdout. @throws Error with its output if the exit code is not 0 */
  runOk(args: readonly string[], options?: StockRunOptions): Promise<string>;
}

/** Stock pgBackRest of one version, or what is missing to have it. */
export async function findStockPgbackrest(
  version: StockVersion,
): Promise<{ readonly pgbackrest: StockPgbackrest } | { readonly missing: string }> {
  const program = "usr/bin/pgbackrest";
  const unpacked = await unpackDebian({
    entry: `pgbackrest-${SUITES[version]}`,
    suite: SUITES[version],
    packages: ["pgbackrest"],
    programs: [program],
  });
  if ("missing" in unpacked) return { missing: `stock pgbackrest ${version}: ${unpacked.missing}` };
  const path = join(unpacked.folder, program);
  const text = (await runOk(path, ["version"], { env: cleanEnvironment() })).trim();
  return { pgbackrest: stockPgbackrest(unpacked.folder, path, text.replace(/^pgBackRest /, "")) };
}

function stockPgbackrest(folder: string, path: string, version: string): StockPgbackrest {
  return {
    path,
    folder,
    version,
    run: (args, options = {}) => run(path, args, { ...options, env: { ...cleanEnvironment(), ...options.env } }),
    runOk: (args, options = {}) => runOk(path, args, { ...options, env: { ...cleanEnvironment(), ...options.env } }),
  };
}

function cleanEnvironment(): Record<string, string | undefined> {
  const names = Object.keys(process.env).filter((name) => name.startsWith("PGBACKREST_"));
  return Object.fromEntries(names.map((name) => [name, undefined]));
}
