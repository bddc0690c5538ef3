import { describe, expect, test } from "vitest";
import { clientAccess, clientSettings, requireUsable } from "../../../../runtime/operations/clone/cloneSettings";

const REACH = { allow: ["10.0.0.0/8", "::1/128"], databases: ["shop", "all"], listen: "10.0.0.5", role: "clone" };

describe("access to a clone", () => {
  test("is one role's, to its databases, from its networks, by password; quoted names have no other meaning", () => {
    expect(clientAccess(REACH)).toBe(`local all all trust
host "shop" "clone" 10.0.0.0/8 scram-sha-256
host "shop" "clone" ::1/128 scram-sha-256
host "all" "clone" 10.0.0.0/8 scram-sha-256
host "all" "clone" ::1/128 scram-sha-256
`);
    expect(clientSettings(REACH)).toContain("listen_addresses = '10.0.0.5'\n");
  });

  test.each<[string, object, string]>([
    ["a role with a quote", { role: 'a"b' }, "'a\"b' is not valid for 'role'"],
    ["a reserved role", { role: "pg_monitor" }, "reserves names that begin with pg_"],
    ["a database with a line break", { databases: ["a\nhost all all all trust"] }, "'keep-database'"],
    ["a name that PostgreSQL would cut", { databases: ["ä".repeat(32)] }, "1 to 63 bytes"],
    ["a setting in the addresses", { listen: "x'\nfsync = 'off" }, "'listen'"],
    ["a network that names everything", { allow: ["all"] }, "'allow'"],
    ["a network with another line", { allow: ["::1/128 trust\nhost"] }, "'allow'"],
  ])("refuses %s", (_title, over, message) => {
    expect(() => requireUsable({ ...REACH, ...over })).toThrow(message);
  });
});
