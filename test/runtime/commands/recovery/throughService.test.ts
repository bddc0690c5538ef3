import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { expect, test } from "vitest";
import { withService } from "../../../../runtime/commands/recovery/throughService";
import type { Programs } from "../../../../runtime/postgres/programs";
import { testContext } from "../../../harness/context";

const PASSWORD = "se:cr\\et";
const FILES: Readonly<Record<string, string>> = { "/production/username": "app", "/production/password": PASSWORD };
const SERVICE = {
  host: "orders-rw",
  secretPath: "/production",
  applicationName: "test",
  readFile: async (path: string) => (FILES[path] === undefined ? null : Buffer.from(FILES[path])),
};
const PROGRAMS = { command: (name: string, args: readonly string[]) => [`/bin/${name}`, ...args] } as Partial<Programs>;

// claim: docs/kubernetes/table.md: no password is in an argument or a variable: psql reads it from a file in memory
//   that nobody else may read, and that goes with the command
test("psql gets a password file of its own, and no argument has the password", async () => {
  let passFile = "";
  await withService(SERVICE, testContext(), async ({ isRemote, psql }) => {
    const command = psql?.(PROGRAMS as Programs, ["-X"]) ?? [];
    passFile = command.find((arg) => arg.startsWith("PGPASSFILE="))?.slice("PGPASSFILE=".length) ?? "";
    expect(isRemote).toBe(true);
    expect(command.join(" ")).not.toContain(PASSWORD);
    expect(command).toContain("PGSSLMODE=verify-full");
    expect(command.slice(-2)).toEqual(["/bin/psql", "-X"]);
    expect(passFile).toMatch(/^\/dev\/shm\//);
    expect([statSync(passFile).mode & 0o777, statSync(dirname(passFile)).mode & 0o777]).toEqual([0o600, 0o700]);
    expect(readFileSync(passFile, "utf8")).toBe("*:*:*:*:se\\:cr\\\\et\n");
  });
  expect(existsSync(dirname(passFile))).toBe(false);
});

test("the file goes after a failure too, and a server of this machine needs none", async () => {
  let passFile = "";
  const failing = withService(SERVICE, testContext(), async ({ psql }) => {
    passFile = psql?.(PROGRAMS as Programs, [])[0]?.slice("PGPASSFILE=".length) ?? "";
    throw new Error("the restore failed");
  });
  await expect(failing).rejects.toThrow("the restore failed");
  expect(existsSync(dirname(passFile))).toBe(false);
  expect(await withService(undefined, testContext(), async (parts) => parts)).toEqual({});
});
