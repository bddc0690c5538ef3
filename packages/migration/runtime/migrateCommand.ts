/**
 * `plan|copy|verify|release|finish`: copies databases and roles of one cluster into another and compares every row. The
 * old cluster stays until the new one has a backup and a drill has restored it.
 */
import type { Context } from "../../../runtime/base/context";
import { ERRORS, fail, isError } from "../../../runtime/base/errors";
import { Secret } from "../../../runtime/base/secret";
import { type Connection, findPassword, parseConnection } from "./connectionString";
import { findClientPrograms } from "../../../runtime/postgres/programs";
import { parseEvidence } from "./backupEvidence";
import { copyDatabases } from "./copyDatabases";
import { loadFacts } from "./facts";
import { gatherPlanInput } from "./gatherPlanInput";
import { liftGuard, lockServers } from "./guard";
import { chosenNames, judgeFinish, type SourceEvidence } from "./judgeFinish";
import { type MigrateOptions, type MigrateStep, parseMigrate } from "./migrateOptions";
import { type MigrationPlan, planMigration } from "./migrationPlan";
import { copyText, finishText, planText, verifyText } from "./migrationText";
import type { Invocation } from "./runProgram";
import { type Servers, withSession } from "./serverSessions";
import { verifyMigration } from "./verifyMigration";

interface Work {
  readonly proc: Invocation;
  readonly ctx: Context;
  readonly options: MigrateOptions;
}

const STEPS: Readonly<Record<MigrateStep, (work: Work) => Promise<number>>> = { copy, finish, plan, release, verify };

export function migrate(proc: Invocation): Promise<number> {
  const options = parseMigrate(proc.args);
  return STEPS[options.step]({ proc, options, ctx: proc.context(options.logLevel) });
}

async function plan(work: Work): Promise<number> {
  const planned = await makePlan(work, await serversOf(work));
  return show(work, planned, planText, planned.refusals.length === 0 ? 0 : ERRORS.dbInvalid);
}

async function copy(work: Work): Promise<number> {
  const { ctx, options } = work;
  const servers = await serversOf(work);
  const planned = await makePlan(work, servers);
  if (planned.refusals.length > 0) return show(work, planned, planText, ERRORS.dbInvalid);
  const major = planned.target.version.split(".")[0] ?? "";
  const programs = await findClientPrograms(major.replace(/\D.*$/, ""), options.binPath, ctx.signal);
  const report = await copyDatabases(servers, planned, { ...options, programs }, ctx);
  return show(work, report, copyText, 0);
}

async function verify(work: Work): Promise<number> {
  const servers = await serversOf(work);
  const { databases } = await withSession(servers, servers.source, undefined, loadFacts);
  const chosen = chosenNames(databases, work.options);
  const report = await verifyMigration(servers, { ...work.options, databases: chosen }, work.ctx);
  return show(work, report, verifyText, report.ok ? 0 : ERRORS.dbMismatch);
}

async function release(work: Work): Promise<number> {
  const { ctx } = work;
  const { readFile, source } = await serversOf(work, "source");
  const names = await withSession({ readFile, source, target: source }, source, undefined, async (session) => {
    await lockServers([session], ctx);
    const { databases, settings } = await loadFacts(session);
    return liftGuard(session, databases, settings);
  });
  ctx.log.info(`${names.length} databases of the source have their old settings`);
  const text = ({ released }: { readonly released: readonly string[] }): string =>
    released.length === 0
      ? "no migration had made the source read-only\n"
      : `the source accepts connections and writes again: ${released.join(", ")}\n`;
  return show(work, { version: 1, released: names }, text, 0);
}

async function finish(work: Work): Promise<number> {
  const { options, proc } = work;
  const asksSource = options.fromServer !== undefined && !options.sourceStopped;
  const servers = await serversOf(work, asksSource ? undefined : "target");
  const target = await withSession(servers, servers.target, undefined, loadFacts);
  const source = asksSource ? await askSource(servers) : options.sourceStopped ? "stopped" : null;
  const texts =
    options.backupReports.length === 0
      ? await Promise.all(
          ["info", "status"].map((verb) => proc.shell(`${options.backupCommand} --output=json ${verb}`)),
        )
      : await Promise.all(options.backupReports.map((path) => readText(proc, "backup-report", path)));
  const report = judgeFinish(parseEvidence(texts), target, source, options);
  return show(work, report, finishText, report.mayRetireSource ? 0 : ERRORS.backupSetInvalid);
}

/** A source that does not answer is one of the reasons in the report. */
async function askSource(servers: Servers): Promise<SourceEvidence> {
  try {
    return await withSession(servers, servers.source, undefined, loadFacts);
  } catch (error) {
    if (!isError(error, "dbConnect")) throw error;
    return { trouble: error.message };
  }
}

async function makePlan({ ctx, options }: Work, servers: Servers): Promise<MigrationPlan> {
  return planMigration(await gatherPlanInput(servers, options, ctx));
}

/** Prints the report. With JSON also prints the reason of a failure, for people. @returns the exit code */
function show<T extends object>({ options, proc }: Work, report: T, text: (report: T) => string, code: number): number {
  if (!options.isJson) proc.print(text(report));
  else {
    if (code !== 0) proc.printError(text(report));
    proc.print(`${JSON.stringify(report, null, 2)}\n`);
  }
  return code;
}

/** Both ends; a step that needs one gets that one twice. */
async function serversOf(work: Work, only?: "source" | "target"): Promise<Servers> {
  const { options, proc } = work;
  const { fromPasswordFile, fromServer, toPasswordFile, toServer } = options;
  const open = async (option: string, text: string | undefined, file: string | undefined): Promise<Connection> => {
    const connection = text === undefined ? ownServer(proc.user) : parseConnection(option, text, proc.user);
    const password =
      file === undefined
        ? await passwordOf(work, connection)
        : new Secret(
            (await readText(proc, `${option.replace("-server", "")}-password-file`, file)).replace(/\r?\n$/, ""),
          );
    return password === null ? connection : { ...connection, password };
  };
  const { readFile } = proc;
  const target = only === "source" ? undefined : await open("to-server", toServer, toPasswordFile);
  if (only === "target" && target !== undefined) return { source: target, target, readFile };
  if (fromServer === undefined)
    throw fail("optionRequired", `${options.step} requires option: from-server`, {
      hint: "Set it to the old cluster: --from-server='host=old.example.net user=postgres sslmode=verify-full sslrootcert=/etc/ssl/old-ca.pem'",
    });
  const source = await open("from-server", fromServer, fromPasswordFile);
  return { source, target: target ?? source, readFile };
}

/** The server of this machine. */
function ownServer(user: string): Connection {
  return { host: "/var/run/postgresql", port: 5432, user, database: "postgres", sslMode: "disable" };
}

async function passwordOf({ options: { passFile }, proc }: Work, connection: Connection): Promise<Secret | null> {
  return passFile === undefined ? null : findPassword(await readText(proc, "pass-file", passFile), connection);
}

async function readText(proc: Invocation, option: string, path: string): Promise<string> {
  const bytes = await proc.readFile(path);
  if (bytes === null)
    throw fail("fileMissing", `unable to open missing file '${path}' for read`, {
      path,
      hint: `the option ${option} names this file.`,
    });
  return Buffer.from(bytes).toString("utf8");
}
