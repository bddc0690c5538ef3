import { describe, expect, test } from "vitest";
import {
  alterSetting,
  createDatabase,
  createRole,
  grantDatabase,
  grantMembership,
  identifier,
  literal,
} from "../../runtime/statements";
import { database, role } from "./support";

describe("statements of a migration", () => {
  test("quote names and texts", () => {
    expect([identifier('a"b'), literal("it's"), literal("a\\b'")]).toEqual(['"a""b"', "'it''s'", "E'a\\\\b'''"]);
  });

  test("create a role without its password", () => {
    expect(createRole(role("app owner", { canLogIn: false, validUntil: "infinity", comment: "mine" }))).toEqual([
      `CREATE ROLE "app owner" WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS CONNECTION LIMIT -1 VALID UNTIL 'infinity'`,
      `COMMENT ON ROLE "app owner" IS 'mine'`,
    ]);
  });

  test.each([
    ["15", { admin: true, inherit: null, set: null }, " WITH ADMIN OPTION"],
    ["15", { admin: false, inherit: null, set: null }, ""],
    ["16", { admin: false, inherit: null, set: null }, " WITH ADMIN FALSE"],
    ["17", { admin: true, inherit: false, set: true }, " WITH ADMIN TRUE, INHERIT FALSE, SET TRUE"],
  ])("grant a membership in version %s's syntax", (version, options, args) => {
    expect(grantMembership({ role: "r", member: "m", grantor: "postgres", ...options }, version)).toBe(
      `GRANT "r" TO "m"${args}`,
    );
  });

  test.each([
    [{ database: "a", role: null, name: "work_mem", value: "7MB" }, `ALTER DATABASE "x" SET "work_mem" TO '7MB'`],
    [
      { database: "a", role: "r", name: "my.own", value: "it's" },
      `ALTER ROLE "r" IN DATABASE "x" SET "my"."own" TO 'it''s'`,
    ],
    [
      { database: "a", role: null, name: "search_path", value: '"$user", app, "a ""b"", c"' },
      `ALTER DATABASE "x" SET "search_path" TO '$user', 'app', 'a "b", c'`,
    ],
    [{ database: "a", role: null, name: "search_path", value: "" }, `ALTER DATABASE "x" SET "search_path" TO ''`],
  ])("restore settings, lists name by name", (setting, statement) => {
    expect(alterSetting(setting, "x")).toBe(statement);
  });

  test("restore a setting of all roles", () => {
    expect(alterSetting({ database: null, role: null, name: "work_mem", value: "7MB" }, null)).toBe(
      `ALTER ROLE ALL SET "work_mem" TO '7MB'`,
    );
  });

  test("create a database of any provider", () => {
    const begin = `CREATE DATABASE "x" WITH OWNER "postgres" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`;
    expect(createDatabase(database("a", { tablespace: "fast" }), "x", true)).toBe(`${begin} TABLESPACE "fast"`);
    expect(createDatabase(database("a", { tablespace: "fast", provider: "icu", locale: "de" }), "x", false)).toBe(
      `${begin} LOCALE_PROVIDER icu ICU_LOCALE 'de'`,
    );
    expect(createDatabase(database("a", { provider: "builtin", locale: "C.UTF-8" }), "x", true)).toBe(
      `${begin} LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'`,
    );
  });

  test("restore a database's grants with their grantors", () => {
    const grants = [
      { grantor: "postgres", grantee: null, privilege: "CONNECT", isGrantable: false },
      { grantor: "postgres", grantee: "r", privilege: "TEMPORARY", isGrantable: true },
      { grantor: "r", grantee: "s", privilege: "TEMPORARY", isGrantable: false },
    ];
    expect(grantDatabase(database("a", { grants }), "x").slice(-5)).toEqual([
      'GRANT CONNECT ON DATABASE "x" TO PUBLIC',
      'GRANT TEMPORARY ON DATABASE "x" TO "r" WITH GRANT OPTION',
      'SET LOCAL ROLE "r"',
      'GRANT TEMPORARY ON DATABASE "x" TO "s"',
      "RESET ROLE",
    ]);
  });
});
