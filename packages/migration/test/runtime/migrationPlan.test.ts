// claim: packages/migration/docs/steps.md: the plan names connected…
import { describe, expect, test } from "vitest";
import { planMigration } from "../../runtime/migrationPlan";
import { cluster, database, type PlanChanges, planInput, role } from "./support";

const shop = (changes = {}) => ({ databases: [...cluster().databases, database("shop", changes)] });

/** `ALTER ROLE ALL SET`. */
const FOR_ALL = { database: null, role: null, name: "statement_timeout", value: "1s" };

describe("the plan of a migration", () => {
  test("takes every database and role except PostgreSQL's and an operator's, and estimates the time from sizes", () => {
    const roles = ["postgres", "streaming_replica", "cnpg_pooler_pgbouncer", "pg_monitor", "app", "boss"].map((name) =>
      role(name),
    );
    const plan = planMigration(
      planInput({ source: { ...shop(), roles }, target: { roles: [role("postgres"), role("boss")] } }),
    );
    expect(plan).toMatchObject({
      databases: [{ name: "shop", state: "copy" }],
      roles: ["app"],
      keptRoles: ["boss"],
      refusals: [],
      estimateSeconds: 2,
    });
  });

  test("lists the clients of migrated databases only", () => {
    const client = { user: "u", application: "a", address: "10.0.0.1", count: 2 };
    const plan = planMigration(
      planInput({
        source: {
          ...shop(),
          clients: [
            { ...client, database: "shop" },
            { ...client, database: "postgres" },
          ],
        },
      }),
    );
    expect(plan.clients).toEqual([{ ...client, database: "shop" }]);
  });

  test("knows the copies of an earlier run, and whether the source could be written to since", () => {
    const migration = { from: "1", copiedAtS: 10, verifiedAtS: null, guardAtS: 5 };
    const stateUnder = (guardAtS: number | null): string | undefined => {
      const guard = guardAtS === null ? null : { connectionLimit: -1, readOnly: null, atS: guardAtS };
      const target = { databases: [...cluster().databases, database("shop", { migration })] };
      return planMigration(planInput({ source: shop({ guard }), target })).databases[0]?.state;
    };
    expect([stateUnder(5), stateUnder(6), stateUnder(null)]).toEqual(["done", "stale", "stale"]);
  });

  const refused: readonly (readonly [title: string, changes: PlanChanges, fact: string])[] = [
    ["the same cluster", { target: { systemId: "1" } }, "source and target are the same cluster"],
    ["an older target", { target: { version: "14" } }, "the source is PostgreSQL 15, the target 14"],
    ["a standby", { source: { inRecovery: true } }, "the source is a standby"],
    ["no superuser", { target: { isSuperuser: false } }, "the role of the target is not a superuser"],
    [
      "a prepared transaction",
      { source: { prepared: [{ database: "shop", name: "x" }] } },
      "database 'shop' has a prepared transaction 'x'",
    ],
    [
      "an enabled subscription",
      {
        source: {
          ...shop(),
          subscriptions: ["shop", "postgres"].map((name) => ({
            database: name,
            name: "feed",
            isEnabled: true,
            state: null,
          })),
        },
      },
      "the subscription 'feed' of 'shop' is enabled",
    ],
    [
      "another setting of all roles",
      {
        source: {
          settings: [
            { ...FOR_ALL, value: "1min" },
            { ...FOR_ALL, name: "work_mem" },
          ],
        },
        target: { settings: [FOR_ALL] },
      },
      "statement_timeout of all roles is '1s' in the target, '1min' in the source",
    ],
    [
      "a setting of all roles that only the target has",
      { target: { settings: [FOR_ALL] } },
      "statement_timeout of all roles is '1s' in the target, not set in the source",
    ],
    ["a name that is not there", { options: { exclude: ["shpo"] } }, "the source has no database 'shpo'"],
    ["a database of that name", { source: shop(), target: shop() }, "the target already has a database 'shop'"],
    [
      "another migration's copy",
      { source: shop(), target: shop({ migration: { from: "9", copiedAtS: 1, verifiedAtS: 1, guardAtS: 1 } }) },
      "the target already has a database 'shop'",
    ],
    [
      "a database that takes no connection",
      { source: shop({ allowsConnections: false }) },
      "database 'shop' allows no connections",
    ],
    [
      "a locale that is not there",
      { source: shop({ collate: "de_DE.utf8", ctype: "de_DE.utf8" }), rest: { missingLocales: ["libc de_DE.utf8"] } },
      "database 'shop' has the locale libc de_DE.utf8, which the target's machine does not have",
    ],
    [
      "a tablespace",
      { source: shop({ tablespace: "fast" }) },
      "database 'shop' is in tablespace 'fast', which the target does not have",
    ],
    [
      "an extension",
      { source: shop(), rest: { contents: [{ name: "shop", extensions: ["plpgsql", "vchord"], objectCount: 1 }] } },
      "the target cannot install extension 'vchord' of 'shop'",
    ],
    [
      "another role of that name",
      {
        source: { roles: [role("postgres"), role("app")] },
        target: { roles: [role("postgres"), role("app", { isSuperuser: true })] },
      },
      "role 'app' differs in the target: isSuperuser false, there true",
    ],
    [
      "an operator's role that owns something",
      { source: { referencedRoles: ["cnpg_pooler_pgbouncer"] } },
      "role 'cnpg_pooler_pgbouncer' has objects or grants in the source, is not copied and does not exist in the target",
    ],
    [
      "work in postgres",
      { rest: { contents: [{ name: "postgres", extensions: [], objectCount: 3 }] } },
      "database 'postgres' has 3 objects of its own",
    ],
  ];
  test.each(refused)("refuses %s", (_, changes, fact) => {
    const { refusals } = planMigration(planInput(changes));
    expect(refusals.map((each) => each.fact)).toEqual([fact]);
    expect(refusals[0]?.wayOut).not.toBe("");
  });

  test("names DROP DATABASE as the way out of one that was interrupted", () => {
    const { refusals } = planMigration(planInput({ source: shop({ allowsConnections: false, connectionLimit: -2 }) }));
    expect(refusals[0]?.wayOut).toContain("repeat its DROP DATABASE");
  });

  test.each([
    [
      {
        source: { roles: [role("app")] },
        target: { roles: [role("postgres"), role("app", { inherits: false })] },
        options: { keepRoles: ["app"] },
      },
    ],
    [{ source: shop({ tablespace: "fast" }), options: { tablespaces: false } }],
    [{ source: shop(), target: shop(), options: { exclude: ["shop"] } }],
  ] satisfies [PlanChanges][])("has a remedy", (changes) => {
    expect(planMigration(planInput(changes)).refusals).toEqual([]);
  });

  test("warns of what is left out", () => {
    const { warnings } = planMigration(
      planInput({
        source: {
          ...shop(),
          preload: ["pg_stat_statements"],
          slots: [
            { name: "cdc", type: "logical", database: "shop" },
            { name: "standby", type: "physical", database: null },
          ],
          subscriptions: [{ database: "shop", name: "feed", isEnabled: false, state: null }],
        },
      }),
    );
    expect(warnings.map(({ fact }) => fact)).toEqual([
      "the source preloads pg_stat_statements, the target does not",
      "the logical slot 'cdc' of 'shop' is not copied",
      "the subscription 'feed' of 'shop' is disabled in the target",
    ]);
  });
});
