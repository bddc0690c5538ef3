/**
 * Which databases a selective restore omits: pure ("pgbackrest-format" 17, step 9; pgBackRest 2.60
 * "command/restore/select").
 *
 * Files of an excluded database are restored as holes of their full size, so that recovery can replay its WAL records;
 * only PG_VERSION keeps its content. Such a database can be dropped afterwards, not used. System databases stay unless
 * they are excluded by name. Errors: dbMissing (80), dbInvalid (81).
 */
import { fail } from "../../base/errors";
import type { Manifest } from "../../format/repository/manifest";

export interface Selection {
  /** The decisions, one line each. */
  readonly notes: readonly string[];
  /** True when the file is restored as a hole. */
  isZeroed(name: string): boolean;
}

/** PostgreSQL gives users' databases numbers from here on ("access/transam.h"). */
const USER_ID_MIN = 16384;
const SYSTEM_NAMES: ReadonlySet<string> = new Set(["postgres", "template0", "template1"]);
const EVERYTHING: Selection = { notes: [], isZeroed: () => false };

/**
 * `include` and `exclude` are names or numbers.
 * @throws dbMissing for one that the backup lacks; dbInvalid for an include without effect
 */
export function selectDatabases(manifest: Manifest, include: readonly string[], exclude: readonly string[]): Selection {
  if (include.length === 0 && exclude.length === 0) return EVERYTHING;
  const ids = databaseIds(manifest);
  const excluded = new Set(exclude.map((database) => idOf(manifest, ids, database, "exclude")));
  const included = new Set<string>();
  for (const database of include) {
    const id = idOf(manifest, ids, database, "include");
    if (isSystem(manifest, id))
      throw fail("dbInvalid", "system databases (template0, postgres, etc.) are included by default");
    if (excluded.has(id)) throw fail("dbInvalid", `database to include '${id}' is in the exclude list`);
    included.add(id);
  }
  const zeroed = new Set(
    [...ids].filter((id) => excluded.has(id) || (included.size > 0 && !included.has(id) && !isSystem(manifest, id))),
  );
  return {
    notes: [
      `databases found for selective restore (${[...ids].join(", ")})`,
      ...(zeroed.size === 0 ? [] : [`databases excluded (zeroed) from selective restore (${[...zeroed].join(", ")})`]),
    ],
    isZeroed: (name) => {
      const match = /^(?:pg_data\/base|pg_tblspc\/\d+\/[^/]+)\/(\d+)\/(.+)$/.exec(name);
      return match !== null && zeroed.has(match[1] ?? "") && match[2] !== "PG_VERSION";
    },
  };
}

/** Numbers of the databases that have a directory, ascending. */
function databaseIds(manifest: Manifest): ReadonlySet<string> {
  const ids = new Set<string>();
  for (const { name } of manifest.paths) {
    const id = /^(?:pg_data\/base|pg_tblspc\/\d+\/PG_[^/]+)\/(\d+)$/.exec(name)?.[1];
    if (id !== undefined) ids.add(id);
  }
  if (ids.size === 0) {
    throw fail("dbMissing", "no databases found for selective restore", {
      hint: `backup ${manifest.label} lists no database directory.`,
    });
  }
  return new Set([...ids].sort((left, right) => Number(left) - Number(right)));
}

function idOf(manifest: Manifest, ids: ReadonlySet<string>, database: string, list: string): string {
  if (ids.has(database)) return database;
  const named = manifest.databases.find((row) => row.name === database);
  const id = named === undefined ? undefined : String(named.id);
  if (id !== undefined && ids.has(id)) return id;
  throw fail("dbMissing", `database to ${list} '${database}' does not exist`, {
    hint: `the backup holds: ${manifest.databases.map((row) => row.name).join(", ")}.`,
  });
}

function isSystem(manifest: Manifest, id: string): boolean {
  const name = manifest.databases.find((row) => String(row.id) === id)?.name;
  return Number(id) < USER_ID_MIN || (name !== undefined && SYSTEM_NAMES.has(name));
}
