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

export const migrateCommand: Command = async (host) => {
  const [stepName = "", ...more] = host.config.params;
  const step = Object.entries(STEPS).find(([name]) => name === stepName)?.[1];
  if (step === undefined || more.length > 0)
    throw fail("paramInvalid", `migrate takes one step: ${Object.keys(STEPS).join(", ")}`, {
      hint: "Start with: pgbackstop migrate plan",
    });
  // A log would break the JSON on standard output.
  const ctx = host.config.output === "json" ? { ...host.ctx, log: silentLog } : host.ctx;
  return step(host, ctx);
};

async function plan(host: Invocation & MachineAccess & Terminal, ctx: Context): Promise<number> {
  const planned = await makePlan(host, await serversOf(host), ctx);
  return show(host, planned, planText, planned.refusals.length === 0 ? 0 : ERRORS.dbInvalid);
}

async function copy(host: Invocation & MachineAccess & Terminal, ctx: Context): Promise<number> {
  const servers = await serversOf(host);
  const planned = await makePlan(host, servers, ctx);
  if (planned.refusals.length > 0) return show(host, planned, planText, ERRORS.dbInvalid);
  const { binPath } = host.config;
  const major = planned.target.version.split(".")[0] ?? "";
  const programs = await findClientPrograms(major.replace(/\D.*$/, ""), binPath, ctx.signal);
  const report = await copyDatabases(servers, planned, { ...optionsOf(host), programs }, ctx);
  return show(host, report, copyText, 0);
}

async function verify(host: Invocation & MachineAccess & Terminal, ctx: Context): Promise<number> {
  const servers = await serversOf(host);
  const options = optionsOf(host);
  const { include, exclude } = options;
  const { databases } = await withSession(servers, servers.source, undefined, loadFacts);
  const chosen = databases
    .map(({ name }) => name)
    .filter(
      (name) =>
        !SYSTEM_DATABASES.has(name) && !exclude.includes(name) && (include.length === 0 || include.includes(name)),
    );
  const report = await verifyMigration(servers, { ...options, databases: chosen }, ctx);
  return show(host, report, verifyText, report.ok ? 0 : ERRORS.dbMismatch);
}

async function release(host: Invocation & MachineAccess & Terminal, ctx: Context): Promise<number> {
  const { readFile, source } = await serversOf(host, "source");
  const names = await withSession({ readFile, source, target: source }, source, undefined, async (session) => {
    await lockServers([session], ctx);
    return liftGuard(session, (await loadFacts(session)).databases);
  });
  ctx.log.info(`migrate: ${names.length} databases of the source have their old settings`);
  const text = ({ released }: { readonly released: readonly string[] }): string =>
    released.length === 0
      ? "no migration had made the source read-only\n"
      : `the source accepts connections and writes again: ${released.join(", ")}\n`;
  return show(host, { version: 1, released: names }, text, 0);
}

async function finish(host: CommandProcess, ctx: Context): Promise<number> {
  if (host.config.stanza === undefined)
    throw fail("optionRequired", "migrate finish requires option: stanza", {
      hint: "Set the target's stanza, because its repositories must have a backup.",
    });
  const servers = await serversOf(host, "target");
  const { databases } = await withSession(servers, servers.target, undefined, loadFacts);
  const report = await judgeFinish(host.repositories(), databases, ctx);
  return show(host, report, finishText, report.mayRetireSource ? 0 : ERRORS.backupSetInvalid);
}

const SYSTEM_DATABASES: ReadonlySet<string> = new Set(["postgres", "template0", "template1"]);

async function makePlan(host: Invocation, servers: Servers, ctx: Context): Promise<MigrationPlan> {
  return planMigration(await gatherPlanInput(servers, optionsOf(host), ctx));
}

function optionsOf({ config }: Invocation): MigrationOptions & Config["migrate"] {
  return {
    ...config.migrate,
    include: config.databaseInclude,
    exclude: config.databaseExclude,
    processMax: config.processMax,
  };
}

/** Prints the report, and beside JSON the reason of a failure, for people. @returns the exit code */
function show<T extends object>(
  host: Invocation & Terminal,
  report: T,
  text: (report: T) => string,
  code: number,
): number {
  if (host.config.output !== "json") host.print(text(report));
  else {
    if (code !== 0) host.printError(text(report));
    host.print(`${JSON.stringify(report, null, 2)}\n`);
  }
  return code;
}

/** Both ends; a step that needs one gets that one twice. */
async function serversOf(host: Invocation & MachineAccess, only?: "source" | "target"): Promise<Servers> {
  const { fromServer, fromPasswordFile, toPasswordFile, toServer } = host.config.migrate;
  const readFile = (path: string): Promise<Uint8Array | null> => host.readFile(path);
  const user = host.users.userName(host.self.uid) ?? "postgres";
  const open = async (option: string, text: string | undefined, file: string | undefined): Promise<Connection> => {
    const connection = text === undefined ? ownServer(host, user) : parseConnection(option, text, user);
    const password =
      file === undefined
        ? await passwordOf(host, connection)
        : await readPassword(host, `${option.replace("-server", "")}-password-file`, file);
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

async function readPassword(host: MachineAccess, option: string, path: string): Promise<Secret> {
  const bytes = await host.readFile(path);
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

async function passwordOf(host: Invocation & MachineAccess, connection: Connection): Promise<Secret | null> {
  const { passFile } = host.config.migrate;
  if (passFile === undefined) return null;
  const bytes = await host.readFile(passFile);
  if (bytes === null)
    throw fail("fileMissing", `unable to open missing file '${passFile}' for read`, {
      path: passFile,
      hint: "the option pass-file names this file.",
    });
  return findPassword(Buffer.from(bytes).toString("utf8"), connection);
}
