/**
 * `extract-table`: restores a past table or schema from a backup into production, in a separate schema until it is
 * swapped.
 *
 * An isolated server alongside production (as in a fire drill) recovers to the target. There all wanted objects move
 * into the new schema, so that they keep their names without conflicts in production. pg_dump and psql transfer it in
 * one transaction, which a kill rolls back. The new schema is marked until its rows have been compared; the next run
 * removes a marked schema of a killed one.
 */
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { formatSize } from "../../base/units";
import { archiveIdOf, currentHistory } from "../../format/repository/archiveInfo";
import { connectionArgs, pipePrograms, type Programs } from "../../postgres/programs";
import type { Session } from "../../postgres/session";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import type { DrillPrograms } from "../drill/drillPrograms";
import type { HostParts } from "../drill/hostVenue";
import { type ChooseOptions, openSources } from "../restore/openSources";
import { timelineOption } from "../restore/timelines";
import type { Manifest } from "../../format/repository/manifest";
import { compareWithPresent, type Difference, differences, sumsOf } from "./compareRows";
import { giveSchema, missingRoles, removeFromPolicies, requireOwners, rolesOf } from "./absentRoles";
import { columnText, oidColumns, type ReferredObjects, referredObjects, referredText } from "./largeObjects";
import { loadFullPublications, publicationText, requireNoSubscription } from "./replication";
import { lookAround, type Surroundings } from "./surroundings";
import {
  type ForeignKey,
  foreignKeySql,
  identifier,
  literal,
  schemaComment,
  schemaExists,
  setAside,
  tablesOf,
  type Wanted,
  wantedText,
} from "./tableObjects";
import { requireNoFile } from "../shared/newFile";
import { writeDump } from "./dump";
import { differenceText, stayText } from "./extractReport";
import { carriedBytes, dataDirectoryOf, requireProductionSpace, requireSpace, sideBytes, sizeOf } from "./extractSpace";
import { restoredSide, type SideServerAccess } from "./restoredSide";
import { lostLinks, swapSql } from "./swap";
import { waitForWal } from "../shared/waitWal";

export interface ExtractOptions extends ChooseOptions {
  readonly stanza: string;
  /** ID of this run: its last eight characters are in the directory's name. */
  readonly id: string;
  readonly root: string;
  readonly wanted: Wanted;
  /** The whole database, regardless of `wanted`: into a file only. */
  readonly isWhole: boolean;
  readonly database: string;
  /** Schema for the restored objects. */
  readonly restored: string;
  readonly swap: boolean;
  /** Schema for the replaced objects. */
  readonly kept: string;
  /** Writes a dump to this file instead. */
  readonly toFile: string | undefined;
  readonly dryRun: boolean;
  /** User of the side server. */
  readonly user: string;
  /** Directories of extensions' libraries outside of PostgreSQL's own, as `dynamic_library_path` has them. */
  readonly libraryPath: string | undefined;
  /** User databases have numbers from here on and can be excluded. */
  readonly maxBytes: number | undefined;
  /** How long to wait until production's last WAL is archived. */
  readonly archiveTimeoutMs: number;
}

export interface ExtractDeps extends Pick<HostParts, "openProduction" | "pool" | "programs" | "self" | "users"> {
  readonly repos: readonly Repository[];
  readonly repoIndex: number | undefined;
  /** What runs production's psql, where its socket is. */
  psql(programs: Programs, args: readonly string[]): readonly string[];
  /** Where this machine has a path of production. */
  here(path: string): string;
  /** Production is elsewhere: psql takes the sessions' address, and the free space there is unknown. */
  readonly isRemote?: boolean;
  print(text: string): void;
  /** Mounts the backup for the side server; absent restores it. */
  openSide?(label: string): Promise<SideServerAccess>;
  /** True when the user confirms the swap after seeing the differences. */
  agrees(question: string): Promise<boolean>;
}

const MARK = "pgbackstop extract-table: not complete";
/** SQLSTATE. */
const NO_SUCH_DATABASE = "3D000";
const SYSTEM_DATABASES: ReadonlySet<string> = new Set(["postgres", "template0", "template1"]);

/** False when the swap was not confirmed. */
export async function extract(deps: ExtractDeps, asked: ExtractOptions, ctx: Context): Promise<boolean> {
  const { followed, sources } = await openSources(deps.repos, asked, ctx);
  const { manifest, repo } = sources;
  const targetTimeline = timelineOption(asked.recovery, followed);
  const options = { ...asked, recovery: { ...asked.recovery, targetTimeline } };
  if (deps.openSide === undefined) requireSize(manifest, options);
  const production = options.toFile === undefined ? await openProduction(deps, options) : null;
  try {
    if (options.toFile !== undefined) await requireNoFile(options.toFile);
    const around = production === null ? null : await lookAround(production, options.wanted);
    if (options.swap && around !== null) requireSwappable(around, options.wanted);
    deps.print(planText(manifest, repo, around, options, deps.openSide !== undefined));
    if (production !== null) await warnOfReplication(production, options, ctx);
    if (production !== null) await clearSchema(production, options);
    if (deps.openSide === undefined)
      await requireSpace(
        options.root,
        sideBytes(manifest, includedOf(manifest, options.database)),
        "the server alongside production",
        "Choose another directory with --drill-path.",
      );
    await requirePrograms(deps.programs, manifest, options, ctx);
    if (options.dryRun) return true;
    if (options.recovery.target !== undefined) await archiveNow(deps, repo, options, ctx);
    return await new Extraction(deps, options, production, manifest, ctx).run();
  } finally {
    await production?.close();
  }
}

/** @throws optionInvalidValue when the database does not exist; dbInvalid when it is a standby; dbConnect */
async function openProduction(deps: ExtractDeps, { database }: ExtractOptions): Promise<Session> {
  let session: Session;
  try {
    session = await deps.openProduction(database);
  } catch (error) {
    if ((toBackupError(error).cause as { code?: unknown } | undefined)?.code !== NO_SUCH_DATABASE) throw error;
    throw fail("optionInvalidValue", `production has no database ${database}`, {
      hint: "Create it (createdb), or write a dump with --to-file.",
    });
  }
  if (!(await isStandby(session))) return session;
  await session.close();
  throw fail("dbInvalid", "this server is a standby, which is read-only: nothing can be brought back into it", {
    hint: "Run extract-table on the primary's host, or write a dump with --to-file.",
  });
}

/** An application's role may not read all that `Session.facts` reads. */
async function isStandby(session: Session): Promise<boolean> {
  const { rows } = await session.query("select pg_is_in_recovery() as standby");
  return (rows[0] as { standby: boolean }).standby;
}

/** @throws dbInvalid (81) when the new version would lack something that only the old one keeps */
function requireSwappable({ extensions, replication }: Surroundings, wanted: Wanted): void {
  requireNoSubscription(replication, wanted);
  if (extensions.length > 0)
    throw fail(
      "dbInvalid",
      `${wantedText(wanted)} has the extension ${extensions.join(", ")}, which a swap would move away with it`,
      {
        hint: "Replace its tables one by one with --table, or move the extension first: ALTER EXTENSION … SET SCHEMA.",
      },
    );
}

/** Subscribers of such a publication stop at the first row of a table that they lack. */
async function warnOfReplication(production: Session, { restored }: ExtractOptions, ctx: Context): Promise<void> {
  const names = await loadFullPublications(production);
  if (names.length > 0)
    ctx.log.warn(
      `${names.join(", ")} publish${names.length === 1 ? "es" : ""} all tables: subscribers stop until they have the tables of schema ${restored}`,
    );
}

/**
 * Other databases are restored as holes. PostgreSQL's own databases cannot be excluded, and a database younger than the
 * backup cannot be named.
 */
function includedOf(manifest: Manifest, database: string): string[] {
  return !SYSTEM_DATABASES.has(database) && manifest.databases.some(({ name }) => name === database) ? [database] : [];
}

function requireSize(manifest: Manifest, { maxBytes }: ExtractOptions): void {
  const sizeBytes = manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0);
  if (maxBytes !== undefined && sizeBytes > maxBytes)
    throw fail("runtime", `the backup has ${sizeBytes} bytes, allowed are ${maxBytes}`, { hint: "raise --max-bytes." });
}

/** Runs before the restore, which may take hours. @throws fileMissing */
async function requirePrograms(
  source: DrillPrograms,
  { pg }: Manifest,
  { root, toFile }: ExtractOptions,
  ctx: Context,
): Promise<void> {
  const programs = await source.find(pg.version, root, ctx.signal);
  for (const name of toFile === undefined ? ["pg_dump", "psql"] : ["pg_dump"])
    if (!(await programs.has(name)))
      throw fail("fileMissing", `'${programs.directory}/${name}' does not exist`, {
        hint: `Install PostgreSQL ${pg.version}'s client package, or set --bin-path to a directory with all client programs.`,
      });
}

/**
 * The target may be in the segment that production is writing: that one is switched, and awaited in the repository of
 * the restore. An older target does not need it, so archiving problems are only reported.
 */
async function archiveNow(
  deps: ExtractDeps,
  repo: Repository,
  { archiveTimeoutMs }: ExtractOptions,
  ctx: Context,
): Promise<void> {
  let production: Session | null = null;
  try {
    // The table's database may be gone.
    production = await deps.openProduction();
    const info = await loadArchiveInfo(repo);
    if (await isStandby(production)) return;
    const walName = await production.switchWal("pgbackstop extract-table");
    const archive = { repo, archiveId: archiveIdOf(currentHistory(info)), pass: info.cipherPass ?? null };
    await waitForWal(archive, walName, { timeoutMs: archiveTimeoutMs }, ctx);
  } catch (error) {
    if (ctx.signal.aborted) throw error;
    ctx.log.warn(
      `production's last WAL is not archived, so a target in it cannot be reached: ${toBackupError(error).message}`,
    );
  } finally {
    await production?.close();
  }
}

/** @param around null when production stays as it is */
function planText(
  manifest: Manifest,
  repo: Repository,
  around: Surroundings | null,
  options: ExtractOptions,
  isOpened: boolean,
): string {
  const { database, isWhole, kept, recovery, restored, swap, toFile, wanted } = options;
  const present = around?.isThere === true;
  const target =
    recovery.target === undefined
      ? recovery.type === "default"
        ? "the end of the archive"
        : recovery.type
      : `${recovery.type} ${recovery.target}${recovery.targetExclusive ? " (exclusive)" : ""}`;
  const lines = [
    `extract-table: ${isWhole ? "all" : wantedText(wanted)} of database ${database}`,
    `  from       backup ${manifest.label} of ${repo.name}, recovered to ${target}, ${isOpened ? "mounted" : "in a server of its own"} below ${options.root}`,
    toFile === undefined
      ? `  to         schema ${restored} of production, in one transaction`
      : `  to         the file ${toFile}, for pg_restore`,
    ...(toFile === undefined
      ? [`  current    ${present ? "exists in production and is compared" : "does not exist in production"}`]
      : []),
    ...(swap
      ? [
          `  swap       ${present ? `the current version moves to schema ${kept}, ` : ""}the restored one replaces it after its rows are compared`,
        ]
      : []),
  ];
  if (swap && around !== null) lines.push(...swapLines(around).map((line) => `             ${line}`));
  if (around !== null && around.oidColumns.length > 0)
    lines.push(
      `  numbers    of large objects come back without their contents: ${around.oidColumns.map(columnText).join(", ")}`,
    );
  return `${lines.join("\n")}\n`;
}

function swapLines({ children, references, replication, views }: Surroundings): string[] {
  const published = publicationText(replication);
  return [
    ...(references.length === 0
      ? []
      : [`${references.length} foreign keys of other tables are created again for it, NOT VALID`]),
    ...(children.length === 0
      ? []
      : [`these tables inherit from it then: ${children.map(({ schema, table }) => `${schema}.${table}`).join(", ")}`]),
    ...(published === null ? [] : [published]),
    ...(views.length === 0 ? [] : [`these views keep reading the old version: ${views.join(", ")}`]),
  ];
}

/** Removes a schema that a killed run left; any other one is an error. @throws fileExists */
async function clearSchema(production: Session, { dryRun, restored }: ExtractOptions): Promise<void> {
  if (!(await schemaExists(production, restored))) return;
  if ((await schemaComment(production, restored)) !== MARK)
    throw fail("fileExists", `schema ${restored} already exists`, {
      hint: "Choose another one with --as, or drop it.",
    });
  if (!dryRun) await production.query(`drop schema ${identifier(restored)} cascade`);
}

class Extraction {
  readonly #deps: ExtractDeps;
  readonly #options: ExtractOptions;
  readonly #production: Session | null;
  readonly #manifest: Manifest;
  readonly #ctx: Context;

  constructor(
    deps: ExtractDeps,
    options: ExtractOptions,
    production: Session | null,
    manifest: Manifest,
    ctx: Context,
  ) {
    this.#deps = deps;
    this.#options = options;
    this.#production = production;
    this.#manifest = manifest;
    this.#ctx = ctx;
  }

  async run(): Promise<boolean> {
    const server = await this.#openSide();
    try {
      const side = await server.connect(this.#options.database);
      try {
        await endPrepared(side);
        return await this.#bring(side, server);
      } finally {
        await side.close();
      }
    } finally {
      await server.end();
    }
  }

  #openSide(): Promise<SideServerAccess> {
    const { openSide, print, repoIndex, repos } = this.#deps;
    const { database, id, libraryPath, recovery, root, stanza, user } = this.#options;
    const { label, pg } = this.#manifest;
    if (openSide !== undefined) return openSide(label);
    print("restoring the backup, and recovering to the target\n");
    const databaseInclude = includedOf(this.#manifest, database);
    const request = { repos, repoIndex, parts: this.#deps, root, stanza, id, label, pgVersion: pg.version };
    return restoredSide({ ...request, databaseInclude, libraryPath, recovery, user }, this.#ctx);
  }

  async #bring(side: Session, server: SideServerAccess): Promise<boolean> {
    const { database, isWhole, restored, swap, toFile, user, wanted } = this.#options;
    if (this.#production === null) {
      const connection = connectionArgs(server.socketDirectory, server.port, user, database);
      await writeDump(
        { side, programs: server.programs, connection, wanted: isWhole ? null : wanted, path: toFile ?? "" },
        this.#ctx,
      );
      this.#deps.print(`${isWhole ? `database ${database}` : wantedText(wanted)} is in ${toFile}\n`);
      if (isWhole)
        this.#deps.print(
          "  to load it: pg_restore --create --dbname=postgres, into a server without a database of that name\n",
        );
      return true;
    }
    const { children, homes, keys } = await setAside(side, wanted, restored);
    if (children.length > 0) this.#ctx.log.warn(`without the rows of tables that inherit: ${children.join(", ")}`);
    const oids = (await tablesOf(side, { schema: restored, table: null })).map(({ oid }) => oid);
    const objects = await referredObjects(side, await oidColumns(side, oids));
    await this.#requireSpace(this.#production, await sizeOf(side, oids));
    const sums = await sumsOf(side, restored);
    this.#deps.print(`copying ${[...sums].map(([table, { rows }]) => `${table} (${rows} rows)`).join(", ")}\n`);
    await this.#carry(side, server, keys, this.#production);
    let compared: readonly Difference[];
    try {
      const wrong = differences(sums, await sumsOf(this.#production, restored));
      if (wrong.length > 0)
        throw fail("checksum", ["the copied rows differ from those of the backup", ...wrong].join("\n"));
      this.#deps.print("the copied rows are identical to those of the backup\n");
      compared = await compareWithPresent(this.#production, wanted, restored, sums);
      this.#deps.print(differenceText(compared));
      await this.#warnOfObjects(this.#production, objects);
    } catch (error) {
      await this.#production.query(`drop schema ${identifier(restored)} cascade`).catch(() => {});
      throw error;
    }
    const comment = `restored by pgbackstop extract-table from backup ${this.#manifest.label}`;
    await this.#production.query(`comment on schema ${identifier(restored)} is ${literal(comment)}`);
    if (swap && (await this.#deps.agrees(`Replace ${wantedText(wanted)} with it?`))) {
      await this.#swap(this.#production, homes);
      return true;
    }
    this.#deps.print(
      `${swap ? "Not swapped: " : ""}${wantedText(wanted)} is in schema ${restored}\n${stayText(compared, restored)}`,
    );
    return !swap;
  }

  async #requireSpace(production: Session, sizeBytes: number): Promise<void> {
    if (this.#deps.isRemote === true) {
      const needed = formatSize(carriedBytes(sizeBytes));
      this.#deps.print(`production needs ${needed} of free space, which this program cannot measure from here\n`);
      return;
    }
    const directory = await dataDirectoryOf(production);
    if (directory !== null) await requireProductionSpace(this.#deps.here(directory), sizeBytes);
  }

  async #carry(
    side: Session,
    server: SideServerAccess,
    keys: readonly ForeignKey[],
    production: Session,
  ): Promise<void> {
    const { database, restored, user, wanted } = this.#options;
    if (wanted.table !== null) await giveSchema(side, restored, production);
    const missing = await missingRoles(production, await rolesOf(side, restored));
    if (missing.length > 0) {
      const policies = await removeFromPolicies(side, restored, missing);
      const changed = policies.length === 0 ? "" : `, and these policies are without it: ${policies.join(", ")}`;
      this.#ctx.log.warn(`production has no role ${missing.join(", ")}: owners and grants are not restored${changed}`);
    } else await requireOwners(side, restored, production);
    const to = this.#deps.isRemote === true ? production.address : await production.ownAddress();
    const own = [
      "--no-publications",
      "--no-subscriptions",
      ...(missing.length > 0 ? ["--no-owner", "--no-privileges"] : []),
    ];
    await pipePrograms({
      from: server.programs.command("pg_dump", [
        ...connectionArgs(server.socketDirectory, server.port, user, database),
        ...own,
        `--schema=${identifier(restored)}`,
      ]),
      to: this.#deps.psql(server.programs, [
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        ...connectionArgs(to.host, to.port, to.user, database),
      ]),
      // Without the matching COMMIT nothing is committed.
      before: "BEGIN;\n",
      after: `${keys.map((key) => foreignKeySql(restored, key)).join("")}COMMENT ON SCHEMA ${identifier(restored)} IS ${literal(MARK)};\nCOMMIT;\n`,
      signal: this.#ctx.signal,
    });
  }

  async #warnOfObjects(production: Session, objects: readonly ReferredObjects[]): Promise<void> {
    const kept = await referredObjects(production, objects);
    for (const line of referredText(objects, kept)) this.#ctx.log.warn(line);
  }

  async #swap(production: Session, former: ReadonlyMap<string, string>): Promise<void> {
    const { kept, restored, wanted } = this.#options;
    const homes = new Map<string, string>();
    for (const { name } of await tablesOf(production, { schema: restored, table: null })) {
      const home = former.get(name) ?? wanted.schema;
      const exists = home === wanted.schema || (await schemaExists(production, home));
      if (!exists) this.#ctx.log.warn(`${name} goes into schema ${wanted.schema}: production has no schema ${home}`);
      homes.set(name, exists ? home : wanted.schema);
    }
    const around = await lookAround(production, wanted);
    requireSwappable(around, wanted);
    const comment = `replaced by pgbackstop extract-table: ${wantedText(wanted)}`;
    try {
      for (const statement of swapSql({ wanted, restored, homes, around, kept, comment }))
        await production.query(statement);
    } catch (error) {
      await production.query("ROLLBACK");
      throw error;
    }
    const old = !around.isThere ? "" : `; the old version is in schema ${kept}`;
    this.#deps.print(`${wantedText(wanted)} is replaced by the restored version${old}\n`);
    if (around.views.length > 0)
      this.#deps.print(`these views keep reading the old version: ${around.views.join(", ")}\n`);
    const lost = lostLinks({ around, homes });
    if (lost.length > 0)
      this.#deps.print(`no longer a part of their parents, which the restored version lacks: ${lost.join(", ")}\n`);
    const published = publicationText(around.replication);
    if (published !== null) this.#deps.print(`${published}\n`);
  }
}

/** Recovery restores prepared transactions with their locks. */
async function endPrepared(side: Session): Promise<void> {
  const { rows } = await side.query("select gid from pg_prepared_xacts where database = current_database()");
  for (const { gid } of rows as { gid: string }[]) await side.query(`rollback prepared ${literal(gid)}`);
}
