/**
 * Gathers the input of a plan: queries both clusters, and tries the target's locales in a transaction that is rolled
 * back.
 */
import type { Context } from "../../../runtime/base/context";
import { toBackupError } from "../../../runtime/base/errors";
import { mapParallel } from "../../../runtime/base/parallel";
import type { Session } from "../../../runtime/postgres/session";
import { type ClusterFacts, type DatabaseContents, type DatabaseFacts, loadContents, loadFacts } from "./facts";
import { inTransaction } from "./guard";
import { isChosen, localeKey, type MigrationOptions, type PlanInput } from "./migrationPlan";
import { type Servers, withSession } from "./serverSessions";
import { literal } from "./statements";

/** @throws dbConnect, dbQuery */
export function gatherPlanInput(servers: Servers, options: MigrationOptions, ctx: Context): Promise<PlanInput> {
  return withSession(servers, servers.source, undefined, (session) =>
    withSession(servers, servers.target, undefined, async (there) => {
      const [source, target] = await Promise.all([loadFacts(session), loadFacts(there)]);
      const { rows } = await there.query("select name from pg_available_extensions");
      return {
        source,
        target,
        contents: await loadAllContents(servers, source, options, ctx),
        availableExtensions: (rows as { name: string }[]).map(({ name }) => name),
        missingLocales: await findMissingLocales(there, source.databases),
        options,
      };
    }),
  );
}

function loadAllContents(
  servers: Servers,
  source: ClusterFacts,
  options: MigrationOptions,
  ctx: Context,
): Promise<DatabaseContents[]> {
  const asked = source.databases.filter(({ allowsConnections, name }) => allowsConnections && isChosen(name, options));
  return mapParallel(asked, options.processMax, ({ name }) => {
    ctx.signal.throwIfAborted();
    return withSession(servers, servers.source, name, (session) => loadContents(session, name));
  });
}

/** Creating a collation of a locale shows whether the machine has it. */
async function findMissingLocales(target: Session, databases: readonly DatabaseFacts[]): Promise<string[]> {
  const byKey = new Map(
    databases.filter(({ provider }) => provider !== "builtin").map((facts) => [localeKey(facts), facts]),
  );
  const missing: string[] = [];
  for (const [key, { collate, ctype, locale, provider }] of byKey) {
    const options =
      provider === "icu"
        ? `provider = icu, locale = ${literal(locale ?? "und")}`
        : `lc_collate = ${literal(collate)}, lc_ctype = ${literal(ctype)}`;
    try {
      // The last statement fails on purpose: nothing stays.
      await inTransaction(target, [
        `CREATE COLLATION pg_temp."pgbackstop locale" (${options})`,
        "DO $$ BEGIN RAISE 'pgbackstop: it is there'; END $$",
      ]);
    } catch (error) {
      if (/could not (create locale|open collator)|is not supported|no encoding/i.test(toBackupError(error).message))
        missing.push(key);
    }
  }
  return missing;
}
