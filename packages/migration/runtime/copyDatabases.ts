/**
 * `migrate copy`: copies roles, then each database over the network into a database with another name, which gets its
 * own name when it is complete. An unfinished copy is recognised by its mark and made again. A copy that another run
 * has finished stays, if the source has not changed since.
 */
import { createHash } from "node:crypto";
import type { Context } from "../../../runtime/base/context";
import { fail, isError, toBackupError } from "../../../runtime/base/errors";
import { mapParallel } from "../../../runtime/base/parallel";
import { programEnvironment } from "./connectionString";
import { pipeDump } from "./dumpPipe";
import type { Session } from "../../../runtime/postgres/session";
import { type ClusterFacts, type DatabaseFacts, loadContents, loadFacts } from "./facts";
import { inTransaction, liftGuard, lockServers, requireNobody, requireNonePrepared, setGuard } from "./guard";
import { COPYING_MARK, type GuardMark, MIGRATION_MARK, renderMark } from "./marks";
import {
  type MigrationOptions,
  type MigrationPlan,
  movedMemberships,
  movedRoles,
  movedSettings,
  type PlannedDatabase,
  stateOf,
} from "./migrationPlan";
import { type Servers, withSession } from "./serverSessions";
import {
  alterSetting,
  createDatabase,
  createRole,
  grantDatabase,
  grantMembership,
  identifier,
  literal,
} from "./statements";
import { compareDatabase } from "./verifyMigration";

export interface CopyOptions extends MigrationOptions {
  /** Copy password hashes too. */
  readonly rolePasswords: boolean;
  /**
   * Allow a complete copy that differs now to be made again: anything that only the target has is lost then.
   */
  readonly replace: boolean;
  /** Paths of pg_dump and psql. */
  readonly programs: { readonly dump: string; readonly load: string };
  /** Receives the process id of each pg_dump. */
  readonly began?: (database: string, dumpPid: number) => void;
}

export interface CopiedDatabase {
  readonly name: string;
  /** `kept`: an earlier run has copied it. */
  readonly state: "copied" | "kept";
  /** Size of the dump. */
  readonly bytes: number;
  readonly elapsedMs: number;
}

export interface CopyReport {
  readonly version: 1;
  readonly roles: readonly string[];
  readonly databases: readonly CopiedDatabase[];
  readonly elapsedMs: number;
}

const LOCK_WAIT_MS = 300_000;
const DUMP_ARGS = [`--lock-wait-timeout=${LOCK_WAIT_MS}`];

/** The source stays guarded after success; after a failure it is as before. @throws execute, dbQuery, dbInvalid */
export async function copyDatabases(
  servers: Servers,
  plan: MigrationPlan,
  options: CopyOptions,
  ctx: Context,
): Promise<CopyReport> {
  const beganMs = ctx.clock.monotonicMs();
  return withSession(servers, servers.source, undefined, (source) =>
    withSession(servers, servers.target, undefined, async (target) => {
      await lockServers([source, target], ctx);
      const names = plan.databases.map(({ name }) => name);
      const [facts, there] = await Promise.all([loadFacts(source), loadFacts(target)]);
      const chosen = facts.databases.filter(({ name }) => names.includes(name));
      // As it is now that no other session can change it.
      const databases = plan.databases.map((planned): PlannedDatabase => {
        const current = chosen.find(({ name }) => name === planned.name);
        return current === undefined ? planned : { ...planned, state: stateOf(current, facts.systemId, there) };
      });
      const guards = await setGuard(source, chosen, facts.settings);
      ctx.log.info(`${chosen.length} databases of the source are read-only`);
      try {
        await requireNobody(source, names, options.disconnect, ctx);
        await requireNonePrepared(source, names);
        await copyRoles(source, target, facts, plan, options);
        const largestFirst = databases.toSorted((left, right) => right.sizeBytes - left.sizeBytes);
        const copied = await mapParallel(largestFirst, options.processMax, (database) =>
          // Each has its own session and transaction.
          withSession(servers, servers.target, undefined, (own) =>
            new Copy(servers, own, [facts, there], guards, options, ctx).database(database),
          ),
        );
        return {
          version: 1,
          roles: plan.roles,
          databases: copied,
          elapsedMs: Math.round(ctx.clock.monotonicMs() - beganMs),
        };
      } catch (error) {
        // If everything was already copied, applications may use the target: the source then stays guarded.
        if (databases.some(({ state }) => state !== "done")) await liftAfterFailure(source, names, ctx);
        throw error;
      }
    }),
  );
}

/** After a failure the applications of the source continue. */
async function liftAfterFailure(source: Session, names: readonly string[], ctx: Context): Promise<void> {
  try {
    const { databases, settings } = await loadFacts(source);
    const chosen = databases.filter(({ name }) => names.includes(name));
    await liftGuard(source, chosen, settings);
    ctx.log.warn("the copy is not finished: the source can be written to again");
  } catch (error) {
    ctx.log.warn(
      `the source is still read-only: ${toBackupError(error).message}\nHINT: pgbackstop-migration release makes it writable.`,
    );
  }
}

async function copyRoles(
  source: Session,
  target: Session,
  facts: ClusterFacts,
  plan: MigrationPlan,
  options: CopyOptions,
): Promise<void> {
  const { rows } = await target.query("select current_setting('server_version_num')::int / 10000 as major");
  const version = String((rows as { major: number }[])[0]?.major);
  const made = movedRoles(facts).filter(({ name }) => plan.roles.includes(name));
  const kept = new Set(options.keepRoles);
  await inTransaction(target, [
    ...made.flatMap(createRole),
    ...movedMemberships(facts)
      .filter(({ member }) => !kept.has(member))
      .map((each) => grantMembership(each, version)),
    ...movedSettings(facts, [])
      .filter(({ role }) => role === null || plan.roles.includes(role))
      .map((each) => alterSetting(each, null)),
  ]);
  if (options.rolePasswords) await copyPasswords(source, target, plan.roles);
}

/** Hashes must not appear in the target's log or in our errors. */
async function copyPasswords(source: Session, target: Session, roles: readonly string[]): Promise<void> {
  const { rows } = await source.query(
    "select rolname as name, rolpassword as password from pg_authid where rolname = any($1) and rolpassword is not null",
    [[...roles]],
  );
  for (const setting of [
    "log_statement TO 'none'",
    "log_min_duration_statement TO -1",
    "log_min_error_statement TO 'panic'",
  ])
    await target.query(`SET ${setting}`);
  for (const { name, password } of rows as { name: string; password: string }[]) {
    try {
      await target.query(`ALTER ROLE ${identifier(name)} PASSWORD ${literal(password)}`);
    } catch {
      throw fail("dbQuery", `the target refused the password of role '${name}'`, {
        hint: "It may refuse MD5 hashes. Leave passwords out with --no-role-passwords, and set new ones.",
      });
    }
  }
}

class Copy {
  readonly #servers: Servers;
  readonly #target: Session;
  readonly #facts: ClusterFacts;
  readonly #there: ClusterFacts;
  readonly #guards: ReadonlyMap<string, GuardMark>;
  readonly #options: CopyOptions;
  readonly #ctx: Context;

  constructor(
    servers: Servers,
    target: Session,
    [facts, there]: readonly [ClusterFacts, ClusterFacts],
    guards: ReadonlyMap<string, GuardMark>,
    options: CopyOptions,
    ctx: Context,
  ) {
    this.#servers = servers;
    this.#target = target;
    this.#facts = facts;
    this.#there = there;
    this.#guards = guards;
    this.#options = options;
    this.#ctx = ctx;
  }

  async database({ name, state }: PlannedDatabase): Promise<CopiedDatabase> {
    const beganMs = this.#ctx.clock.monotonicMs();
    this.#ctx.signal.throwIfAborted();
    const elapsedMs = (): number => Math.round(this.#ctx.clock.monotonicMs() - beganMs);
    if (state !== "copy" && (await this.#isStillTrue(name, state))) {
      this.#ctx.log.info(`${name}: copied by an earlier run`);
      return { name, state: "kept", bytes: 0, elapsedMs: elapsedMs() };
    }
    const bytes = await this.#copy(name, state !== "copy");
    this.#ctx.log.info(`${name}: copied, ${bytes} bytes of dump in ${elapsedMs()} ms`);
    return { name, state: "copied", bytes, elapsedMs: elapsedMs() };
  }

  /** Under the same guard the source cannot have changed; otherwise both sides are compared. */
  async #isStillTrue(name: string, state: PlannedDatabase["state"]): Promise<boolean> {
    if (state === "done") return true;
    const { differences } = await compareDatabase(this.#servers, name, [this.#facts, this.#there], this.#ctx);
    if (differences.length === 0) await inTransaction(this.#target, await this.#markStatements(name, name));
    else if (!this.#options.replace)
      throw fail("dbInvalid", `database '${name}' of the target is a complete copy, and differs from the source now`, {
        hint: "It was not changed, because applications may have used it since. After a rehearsal or a failed copy, --replace copies such databases again.",
      });
    return differences.length === 0;
  }

  async #copy(name: string, replaces: boolean): Promise<number> {
    const facts = this.#facts.databases.find((each) => each.name === name);
    if (facts === undefined) throw fail("dbMissing", `database '${name}' no longer exists in the source`);
    const scratch = scratchName(name);
    await this.#removeScratch(scratch);
    await this.#target.query(createDatabase(facts, scratch, this.#options.tablespaces));
    await this.#target.query(
      `ALTER DATABASE ${identifier(scratch)} SET ${COPYING_MARK} TO ${literal(this.#facts.systemId)}`,
    );
    const bytes = await this.#pipe(name, scratch);
    await withSession(this.#servers, this.#servers.target, scratch, (session) => session.query("ANALYZE"));
    if (replaces) await this.#removeCopy(name);
    await this.#finish(facts, scratch);
    return bytes;
  }

  /** Removes an earlier run's copy, unless a session is connected to it. */
  async #removeCopy(name: string): Promise<void> {
    if (this.#there.databases.some((each) => each.name === name && each.isTemplate))
      await this.#target.query(`ALTER DATABASE ${identifier(name)} IS_TEMPLATE false`);
    await this.#target.query(`DROP DATABASE ${identifier(name)}`);
  }

  async #pipe(name: string, scratch: string): Promise<number> {
    const { began, programs, tablespaces } = this.#options;
    const { source, target } = this.#servers;
    try {
      return await pipeDump({
        dumpProgram: programs.dump,
        loadProgram: programs.load,
        dumpArgs: [...DUMP_ARGS, ...(tablespaces ? [] : ["--no-tablespaces"])],
        source: programEnvironment(source, name),
        target: programEnvironment(target, scratch),
        signal: this.#ctx.signal,
        ...(began === undefined ? {} : { began: (pid: number) => began(name, pid) }),
      });
    } catch (error) {
      if (isError(error, "execute"))
        throw fail("execute", `database '${name}' is not copied: ${error.message}`, {
          hint: RESUME_HINT,
          cause: error,
        });
      throw error;
    }
  }

  /** Removes an unfinished copy of an earlier run; any other database of that name stays. @throws dbInvalid */
  async #removeScratch(scratch: string): Promise<void> {
    const { databases } = await loadFacts(this.#target);
    const current = databases.find(({ name }) => name === scratch);
    if (current === undefined) return;
    if (!current.isCopying) {
      // A run killed between creating and marking it leaves an empty database.
      const { objectCount } = await withSession(this.#servers, this.#servers.target, scratch, (session) =>
        loadContents(session, scratch),
      );
      if (objectCount > 0)
        throw fail(
          "dbInvalid",
          `database '${scratch}' in the target has a name reserved for migrations, but no migration created it`,
          {
            hint: "Rename it.",
          },
        );
    }
    this.#ctx.log.info(`removing the unfinished copy '${scratch}'`);
    await this.#target.query(`DROP DATABASE ${identifier(scratch)} WITH (FORCE)`);
  }

  /** Sets its name, settings, grants and mark in one step. */
  async #finish(facts: DatabaseFacts, scratch: string): Promise<void> {
    const kept = new Set(this.#options.keepRoles);
    const database = identifier(scratch);
    const settings = movedSettings(this.#facts, [facts.name]).filter(
      (each) => each.database === facts.name && (each.role === null || !kept.has(each.role)),
    );
    await inTransaction(this.#target, [
      ...settings.map((each) => alterSetting(each, scratch)),
      ...grantDatabase(facts, scratch),
      ...(facts.comment === null ? [] : [`COMMENT ON DATABASE ${database} IS ${literal(facts.comment)}`]),
      `ALTER DATABASE ${database} CONNECTION LIMIT ${facts.connectionLimit}`,
      ...(facts.isTemplate ? [`ALTER DATABASE ${database} IS_TEMPLATE true`] : []),
      `ALTER DATABASE ${database} RESET ${COPYING_MARK}`,
      ...(await this.#markStatements(facts.name, scratch)),
      `ALTER DATABASE ${database} RENAME TO ${identifier(facts.name)}`,
    ]);
  }

  async #markStatements(name: string, database: string): Promise<string[]> {
    const mark = {
      from: this.#facts.systemId,
      copiedAtS: await this.#target.nowS(),
      verifiedAtS: null,
      guardAtS: this.#guards.get(name)?.atS ?? 0,
    };
    return [`ALTER DATABASE ${identifier(database)} SET ${MIGRATION_MARK} TO ${literal(renderMark(mark))}`];
  }
}

const RESUME_HINT = "Copied databases stay. Run the same command again to continue.";

/** Name of an unfinished copy: within the length limit, and used by no one else. */
export function scratchName(database: string): string {
  return `pgbackstop_copy_${createHash("sha256").update(database).digest("hex").slice(0, 16)}`;
}
