/**
 * `migrate plan|copy|verify|release|finish`: copies databases and roles of one cluster into another and compares every
 * row. The old cluster stays until the new one has a backup and a drill has restored it.
 */
import type { Context } from "../base/context";
import { ERRORS, fail } from "../base/errors";
import { silentLog } from "../base/log";
import { Secret } from "../base/secret";
import type { Config, PgConfig } from "../config/types";
import { copyDatabases } from "../operations/migrate/copyDatabases";
import { loadFacts } from "../operations/migrate/facts";
import { judgeFinish } from "../operations/migrate/judgeFinish";
import { gatherPlanInput } from "../operations/migrate/gatherPlanInput";
import { liftGuard, lockServers } from "../operations/migrate/guard";
import { type MigrationOptions, type MigrationPlan, planMigration } from "../operations/migrate/migrationPlan";
import { copyText, finishText, planText, verifyText } from "../operations/migrate/migrationText";
import { type Servers, withSession } from "../operations/migrate/serverSessions";
import { verifyMigration } from "../operations/migrate/verifyMigration";
import { type Connection, findPassword, parseConnection } from "../postgres/connectionString";
import { findClientPrograms } from "../postgres/programs";
import type { Command, CommandProcess, Invocation, MachineAccess, Terminal } from "../process/commandProcess";

const STEPS = { copy, finish, plan, release, verify } as const;

export const migrateCommand: Command = async (proc) => {
  const [stepName = "", ...more] = proc.config.params;
  const step = Object.entries(STEPS).find(([name]) => name === stepName)?.[1];
  if (step === undefined || more.length > 0)
    throw fail("paramInvalid", `migrate takes one step: ${Object.keys(STEPS).join(", ")}`, {
      hint: "Start with: pgbackstop migrate plan",
    });
  // A log would break the JSON on standard output.
  const ctx = proc.config.output === "json" ? { ...proc.ctx, log: silentLog } : proc.ctx;
  return step(proc, ctx);
};

async function plan(proc: Invocation & MachineAccess & Terminal, ctx: Context): Promise<number> {
  const planned = await makePlan(proc, await serversOf(proc), ctx);
  return show(proc, planned, planText, planned.refusals.length === 0 ? 0 : ERRORS.dbInvalid);
}

async function copy(proc: Invocation & MachineAccess & Terminal, ctx: Context): Promise<number> {
  const servers = await serversOf(proc);
  const planned = await makePlan(proc, servers, ctx);
  if (planned.refusals.length > 0) return show(proc, planned, planText, ERRORS.dbInvalid);
  const { binPath } = proc.config;
  const major = planned.target.version.split(".")[0] ?? "";
  const programs = await findClientPrograms(major.replace(/\D.*$/, ""), binPath, ctx.signal);
  const report = await copyDatabases(servers, planned, { ...optionsOf(proc), programs }, ctx);
  return show(proc, report, copyText, 0);
}

async function verify(proc: Invocation & MachineAccess & Terminal, ctx: Context): Promise<number> {
  const servers = await serversOf(proc);
  const options = optionsOf(proc);
  const { include, exclude } = options;
  const { databases } = await withSession(servers, servers.source, undefined, loadFacts);
  const chosen = databases
    .map(({ name }) => name)
    .filter(
      (name) =>
        !SYSTEM_DATABASES.has(name) && !exclude.includes(name) && (include.length === 0 || include.includes(name)),
    );
  const report = await verifyMigration(servers, { ...options, databases: chosen }, ctx);
  return show(proc, report, verifyText, report.ok ? 0 : ERRORS.dbMismatch);
}

async function release(proc: Invocation & MachineAccess & Terminal, ctx: Context): Promise<number> {
  const { readFile, source } = await serversOf(proc, "source");
  const names = await withSession({ readFile, source, target: source }, source, undefined, async (session) => {
    await lockServers([session], ctx);
    return liftGuard(session, (await loadFacts(session)).databases);
  });
  ctx.log.info(`migrate: ${names.length} databases of the source have their old settings`);
  const text = ({ released }: { readonly released: readonly string[] }): string =>
    released.length === 0
      ? "no migration had made the source read-only\n"
      : `the source accepts connections and writes again: ${released.join(", ")}\n`;
  return show(proc, { version: 1, released: names }, text, 0);
}

async function finish(proc: CommandProcess, ctx: Context): Promise<number> {
  if (proc.config.stanza === undefined)
    throw fail("optionRequired", "migrate finish requires option: stanza", {
      hint: "Set the target's stanza, because its repositories must have a backup.",
    });
  const servers = await serversOf(proc, "target");
  const { databases } = await withSession(servers, servers.target, undefined, loadFacts);
  const report = await judgeFinish(proc.repositories(), databases, ctx);
  return show(proc, report, finishText, report.mayRetireSource ? 0 : ERRORS.backupSetInvalid);
}

const SYSTEM_DATABASES: ReadonlySet<string> = new Set(["postgres", "template0", "template1"]);

async function makePlan(proc: Invocation, servers: Servers, ctx: Context): Promise<MigrationPlan> {
  return planMigration(await gatherPlanInput(servers, optionsOf(proc), ctx));
}

function optionsOf({ config }: Invocation): MigrationOptions & Config["migrate"] {
  return {
    ...config.migrate,
    include: config.databaseInclude,
    exclude: config.databaseExclude,
    processMax: config.processMax,
  };
}

/** Prints the report. With JSON also prints the reason of a failure, for people. @returns the exit code */
function show<T extends object>(
  proc: Invocation & Terminal,
  report: T,
  text: (report: T) => string,
  code: number,
): number {
  if (proc.config.output !== "json") proc.print(text(report));
  else {
    if (code !== 0) proc.printError(text(report));
    proc.print(`${JSON.stringify(report, null, 2)}\n`);
  }
  return code;
}

/** Both ends; a step that needs one gets that one twice. */
async function serversOf(proc: Invocation & MachineAccess, only?: "source" | "target"): Promise<Servers> {
  const { fromServer, fromPasswordFile, toPasswordFile, toServer } = proc.config.migrate;
  const readFile = (path: string): Promise<Uint8Array | null> => proc.readFile(path);
  const user = proc.users.userName(proc.self.uid) ?? "postgres";
  const open = async (option: string, text: string | undefined, file: string | undefined): Promise<Connection> => {
    const connection = text === undefined ? ownServer(proc, user) : parseConnection(option, text, user);
    const password =
      file === undefined
        ? await passwordOf(proc, connection)
        : await readPassword(proc, `${option.replace("-server", "")}-password-file`, file);
    return password === null ? connection : { ...connection, password };
  };
  const target = only === "source" ? undefined : await open("to-server", toServer, toPasswordFile);
  if (only === "target" && target !== undefined) return { source: target, target, readFile };
  if (fromServer === undefined)
    throw fail("optionRequired", "migrate command requires option: from-server", {
      hint: "Set it to the old cluster: --from-server='host=old.example.net user=postgres sslmode=verify-full sslrootcert=/etc/ssl/old-ca.pem'",
    });
  const source = await open("from-server", fromServer, fromPasswordFile);
  return { source, target: target ?? source, readFile };
}

/** The server of pg1. @throws optionRequired */
function ownServer({ config }: Invocation, user: string): Connection {
  const pg: PgConfig | undefined = config.pgs[0];
  if (pg === undefined)
    throw fail("optionRequired", "migrate command requires option: to-server", { hint: "Its default needs pg1-path." });
  return {
    host: pg.socketPath ?? "/var/run/postgresql",
    port: pg.port,
    user: pg.user ?? user,
    database: pg.database,
    sslMode: "disable",
  };
}

async function readPassword(proc: MachineAccess, option: string, path: string): Promise<Secret> {
  const bytes = await proc.readFile(path);
  if (bytes === null)
    throw fail("fileMissing", `unable to open missing file '${path}' for read`, {
      path,
      hint: `the option ${option} names this file.`,
    });
  return new Secret(
    Buffer.from(bytes)
      .toString("utf8")
      .replace(/\r?\n$/, ""),
  );
}

async function passwordOf(proc: Invocation & MachineAccess, connection: Connection): Promise<Secret | null> {
  const { passFile } = proc.config.migrate;
  if (passFile === undefined) return null;
  const bytes = await proc.readFile(passFile);
  if (bytes === null)
    throw fail("fileMissing", `unable to open missing file '${passFile}' for read`, {
      path: passFile,
      hint: "the option pass-file names this file.",
    });
  return findPassword(Buffer.from(bytes).toString("utf8"), connection);
}
