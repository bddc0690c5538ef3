/**
 * Names that WAL does not show: of tables with an untouched row in pg_class. They are looked up per database, only
 * where one is missing.
 *
 * Production knows current objects by their current files; the backup before the incident knows those of its time.
 * Neither is required: unknown names are shown as numbers.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { mapParallel } from "../../base/parallel";
import { type ClassRow, parseInheritance, rowsOf } from "../../format/page/heapPage";
import type { Manifest, ManifestFile } from "../../format/repository/manifest";
import { PAGE_SIZE_BYTES } from "../../format/wal/walRecord";
import type { Session } from "../../postgres/session";
import { loadBackupInfo } from "../../repository/infoStore";
import { loadManifest } from "../../repository/backupStore";
import type { Repository } from "../../repository/repository";
import { readBackupFile } from "./backupFiles";
import type { Catalogs } from "./catalogs";
import type { Names } from "./markers";

export interface NamesBackup {
  readonly repo: Repository;
  readonly label: string;
}

export interface NamesDeps {
  /** Opens a session with a database of production; the caller closes it. */
  openProduction(database?: string): Promise<Session>;
  readonly systemId: bigint;
  readonly backup: NamesBackup | null;
  readonly catalogs: Catalogs;
}

interface Known {
  readonly relations: Map<string, ClassRow>;
  readonly schemas: Map<string, string>;
  /** Partitioned and inherited tables by `database/oid` of a child. */
  readonly parents: Map<string, Parent[]>;
}

type Parent = Pick<ClassRow, "name" | "oid" | "schema">;

const nothingKnown = (): Known => ({ relations: new Map(), schemas: new Map(), parents: new Map() });

const MAPS_AT_ONCE = 8;
/** In a cluster with more databases, the rest uses only names from WAL: each database costs a request. */
const MAPS_MAX = 256;

export class KnownNames implements Names {
  readonly #deps: NamesDeps;
  readonly #ctx: Context;
  readonly #production = nothingKnown();
  readonly #backup = nothingKnown();
  readonly #databases = new Map<number, string>();
  readonly #asked = new Set<number>();
  /** Databases whose parents are known. */
  readonly #related = new Set<number>();
  #manifest: Manifest | null = null;
  #isProductionThere = true;
  /** Sources that could not be read, and why. */
  readonly #reasons = new Set<string>();

  private constructor(deps: NamesDeps, ctx: Context) {
    this.#deps = deps;
    this.#ctx = ctx;
  }

  /**
   * Loads the databases' names and the location of each pg_class. A failure is reported once, and the search continues
   * without it.
   */
  static async open(deps: NamesDeps, ctx: Context): Promise<KnownNames> {
    const names = new KnownNames(deps, ctx);
    await names.#askProduction();
    await names.#openBackup();
    return names;
  }

  get reasons(): readonly string[] {
    return [...this.#reasons];
  }

  relation(database: number, file: number): ClassRow | undefined {
    return this.#currentRelation(database, file) ?? this.#deps.catalogs.findFormerRelation(database, file);
  }

  /** True when `load` may find a better name. */
  lacksName(database: number, file: number): boolean {
    const row = this.#currentRelation(database, file);
    return row === undefined || this.schema(database, row.schema) === undefined;
  }

  #currentRelation(database: number, file: number): ClassRow | undefined {
    const key = `${database}/${file}`;
    return (
      this.#deps.catalogs.findRelation(database, file) ??
      this.#production.relations.get(key) ??
      this.#backup.relations.get(key)
    );
  }

  schema(database: number, oid: number): string | undefined {
    const key = `${database}/${oid}`;
    return (
      this.#deps.catalogs.findSchema(database, oid) ??
      this.#backup.schemas.get(key) ??
      this.#production.schemas.get(key) ??
      SCHEMAS.get(oid)
    );
  }

  /** Names of the tables that this one is a partition of, or inherits from, nearest first; of a loaded database. */
  parents(database: number, relation: number): string[] {
    const known = new Map<number, string>();
    const follow = (oid: number): void => {
      const key = `${database}/${oid}`;
      for (const parent of [...(this.#production.parents.get(key) ?? []), ...(this.#backup.parents.get(key) ?? [])]) {
        if (known.has(parent.oid)) continue;
        known.set(parent.oid, `${this.schema(database, parent.schema) ?? parent.schema}.${parent.name}`);
        follow(parent.oid);
      }
    };
    follow(relation);
    return [...known.values()];
  }

  /** False if neither production nor the backup could say what a partition belongs to. */
  knowsParents(database: number): boolean {
    return this.#related.has(database);
  }

  database(oid: number): string | undefined {
    return this.#deps.catalogs.findDatabase(oid) ?? this.#databases.get(oid);
  }

  /** Loads all names of a database, once; a failure is reported and leaves numbers. */
  async load(database: number): Promise<void> {
    if (this.#asked.has(database)) return;
    this.#asked.add(database);
    await this.#loadProduction(database);
    await this.#loadBackup(database);
  }

  async #askProduction(): Promise<void> {
    await this.#withProduction(undefined, async (session) => {
      if (BigInt(await session.systemId()) !== this.#deps.systemId) {
        this.#isProductionThere = false;
        this.#ctx.log.info("find: another cluster's server runs here, so its names are not used");
        this.#reasons.add("another cluster's server runs here");
        return;
      }
      const answer = await session.query("select oid::int8::text as oid, datname from pg_database");
      for (const { datname, oid } of answer.rows as { oid: string; datname: string }[])
        this.#databases.set(Number(oid), datname);
    });
  }

  async #loadProduction(database: number): Promise<void> {
    const name = this.#databases.get(database);
    if (!this.#isProductionThere || name === undefined) return;
    await this.#withProduction(name, async (session) => {
      const { rows } = await session.query(
        "select oid::int8::text as oid, relname, relnamespace::int8::text as schema, coalesce(pg_relation_filenode(oid), 0)::int8::text as file, relkind::text as kind, relpersistence = 't' as temporary from pg_class",
      );
      for (const row of rows as {
        oid: string;
        relname: string;
        schema: string;
        file: string;
        kind: string;
        temporary: boolean;
      }[]) {
        const own = { oid: Number(row.oid), name: row.relname, schema: Number(row.schema), file: Number(row.file) };
        if (own.file !== 0)
          this.#production.relations.set(`${database}/${own.file}`, {
            ...own,
            kind: row.kind,
            isTemporary: row.temporary,
          });
      }
      const schemas = await session.query("select oid::int8::text as oid, nspname from pg_namespace");
      for (const { nspname, oid } of schemas.rows as { oid: string; nspname: string }[])
        this.#production.schemas.set(`${database}/${oid}`, nspname);
      const parents = await session.query(
        "select i.inhrelid::int8::text as child, p.oid::int8::text as oid, p.relname as name, p.relnamespace::int8::text as schema from pg_inherits i join pg_class p on p.oid = i.inhparent where p.relkind in ('r', 'p', 'f')",
      );
      for (const { child, name: own, oid, schema } of parents.rows as Record<
        "child" | "name" | "oid" | "schema",
        string
      >[])
        addParent(this.#production, `${database}/${child}`, { oid: Number(oid), name: own, schema: Number(schema) });
      this.#related.add(database);
    });
  }

  async #withProduction(database: string | undefined, work: (session: Session) => Promise<void>): Promise<void> {
    let session: Session | undefined;
    try {
      session = await this.#deps.openProduction(database);
      await work(session);
    } catch (error) {
      if (this.#ctx.signal.aborted) throw error;
      // During a disaster the database may not answer: then the backup is enough.
      if (session === undefined && database === undefined) this.#isProductionThere = false;
      const reason = `unable to read names from production: ${toBackupError(error).message}`;
      this.#ctx.log.info(`find: ${reason}`);
      this.#reasons.add(reason);
    } finally {
      await session?.close();
    }
  }

  async #openBackup(): Promise<void> {
    const { backup, catalogs } = this.#deps;
    if (backup === null) return;
    try {
      const { cipherPass } = await loadBackupInfo(backup.repo);
      const manifest = await loadManifest(backup.repo, backup.label, cipherPass ?? null);
      this.#manifest = manifest;
      for (const { id, name } of manifest.databases) if (!this.#databases.has(id)) this.#databases.set(id, name);
      const maps: { readonly file: ManifestFile; readonly database: number }[] = [];
      for (const file of manifest.files) {
        const match = /(?:\/base\/|^pg_tblspc\/\d+\/[^/]+\/)(\d+)\/pg_filenode\.map$/.exec(file.name);
        if (match !== null) maps.push({ file, database: Number(match[1]) });
      }
      const shared = manifest.files.find(({ name }) => name === "pg_data/global/pg_filenode.map");
      const wanted = [...(shared === undefined ? [] : [{ file: shared, database: 0 }]), ...maps].slice(0, MAPS_MAX);
      await mapParallel(wanted, MAPS_AT_ONCE, async ({ database, file }) => {
        catalogs.setFileMap(database, await readBackupFile(backup.repo, manifest, file));
      });
    } catch (error) {
      this.#report(error);
    }
  }

  async #loadBackup(database: number): Promise<void> {
    const { catalogs } = this.#deps;
    const { relations } = catalogs.filesOf(database);
    const tables = new Map<number, Parent>();
    let inheritsFile = 0;
    try {
      for (const columns of await this.#rows(database, relations)) {
        const row = catalogs.relationOf(columns);
        if (row === null) continue;
        if (PARENT_KINDS.has(row.kind)) tables.set(row.oid, { oid: row.oid, name: row.name, schema: row.schema });
        // A partitioned table has no file.
        if (row.file === 0) continue;
        this.#backup.relations.set(`${database}/${row.file}`, row);
        if (row.oid === NAMESPACE_OID) await this.#loadSchemas(database, row.file);
        if (row.oid === INHERITS_OID) inheritsFile = row.file;
      }
      if (inheritsFile !== 0) await this.#loadParents(database, inheritsFile, tables);
    } catch (error) {
      this.#report(error);
    }
  }

  async #loadSchemas(database: number, file: number): Promise<void> {
    for (const columns of await this.#rows(database, file)) {
      const row = this.#deps.catalogs.namedOf(columns);
      if (row !== null) this.#backup.schemas.set(`${database}/${row.oid}`, row.name);
    }
  }

  /** A row of a partition that was detached counts too: it was one once. */
  async #loadParents(database: number, file: number, tables: ReadonlyMap<number, Parent>): Promise<void> {
    for (const columns of await this.#rows(database, file)) {
      const { child, parent } = parseInheritance(columns);
      const table = tables.get(parent);
      if (table !== undefined) addParent(this.#backup, `${database}/${child}`, table);
    }
    this.#related.add(database);
  }

  /** Old rows first. */
  async #rows(database: number, file: number): Promise<Uint8Array[]> {
    const { backup } = this.#deps;
    if (backup === null || this.#manifest === null) return [];
    const rows: ReturnType<typeof rowsOf> = [];
    for (const each of filesOf(this.#manifest, database, file)) {
      const bytes = await readBackupFile(backup.repo, this.#manifest, each);
      for (let at = 0; at + PAGE_SIZE_BYTES <= bytes.length; at += PAGE_SIZE_BYTES)
        rows.push(...rowsOf(bytes.subarray(at, at + PAGE_SIZE_BYTES)));
    }
    return rows.sort((left, right) => Number(right.xmax > 0) - Number(left.xmax > 0)).map(({ columns }) => columns);
  }

  #report(error: unknown): void {
    if (this.#ctx.signal.aborted) throw error;
    const { backup } = this.#deps;
    const reason = `unable to read names from backup ${backup?.label ?? ""} of ${backup?.repo.name ?? ""}: ${toBackupError(error).message}`;
    this.#ctx.log.warn(reason);
    this.#reasons.add(reason);
  }
}

const NAMESPACE_OID = 2615;
const INHERITS_OID = 2611;
/** Tables, partitioned and foreign ones. */
const PARENT_KINDS: ReadonlySet<string> = new Set(["r", "p", "f"]);
/** In every database ("catalog/pg_namespace.dat"). */
const SCHEMAS: ReadonlyMap<number, string> = new Map([
  [11, "pg_catalog"],
  [99, "pg_toast"],
  [2200, "public"],
]);

function addParent({ parents }: Known, child: string, parent: Parent): void {
  const known = parents.get(child);
  if (known === undefined) parents.set(child, [parent]);
  else known.push(parent);
}

/** Files above one gigabyte continue in files with a number after the name. */
function filesOf({ files }: Manifest, database: number, file: number): ManifestFile[] {
  const pattern = new RegExp(`^(?:pg_data/base|pg_tblspc/\\d+/[^/]+)/${database}/${file}(\\.\\d+)?$`);
  return files.filter(({ name }) => pattern.test(name));
}
