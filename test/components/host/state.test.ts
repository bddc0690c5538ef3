/** The command that reads a host's state, on this machine, and incomplete answers. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Connection } from "../../../components/host/connection";
import { sha256Hex } from "../../../components/host/desiredFiles";
import { connectLocally } from "../../../components/host/localConnection";
import { parseState, readState, type StateQuery } from "../../../components/host/state";

let folder: string;
let connection: Connection;
let execs = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pgb state-"));
  const local = connectLocally();
  connection = {
    ...local,
    exec: (argv, options) => {
      execs += 1;
      return local.exec(argv, options);
    },
  };
});
afterAll(async () => {
  await connection.close();
  rmSync(folder, { recursive: true, force: true });
});

const query = (over: Partial<StateQuery> = {}): StateQuery => ({
  user: userInfo().username,
  paths: [],
  mounts: [],
  units: [],
  dataDirectory: folder,
  ask: {},
  ...over,
});

// claim: docs/hosts/updates.md: a refresh, and an update without changes, is one command
test("one command reads everything, whatever names and answers contain", async () => {
  writeFileSync(join(folder, "a 'b"), "text", { mode: 0o640 });
  writeFileSync(join(folder, "PG_VERSION"), "17\n");
  mkdirSync(join(folder, "d"), { mode: 0o750 });
  symlinkSync("nowhere", join(folder, "l"));
  writeFileSync(join(folder, "x\\n\\y"), "other text", { mode: 0o600 });
  const paths = ["a 'b", "d", "l", "none", "x\\n\\y"].map((name) => join(folder, name));
  const long = "ä'\"\\ $x".repeat(20_000);
  writeFileSync(join(folder, "long"), long);
  const ask = {
    long: `cat '${join(folder, "long")}'; echo wrong >&2; exit 7`,
    none: "true",
    missing: "exec /no/such/program",
  };
  const before = execs;
  const facts = await readState(
    connection,
    query({ paths, mounts: ["/proc/none/such", join(folder, "not/there")], ask }),
  );
  expect(execs - before).toBe(1);
  const { uid, gid, username } = userInfo();
  expect(facts.account).toEqual({ name: username, uid, gid });
  expect([...facts.paths.values()]).toEqual([
    { kind: "file", mode: "0640", uid, gid, sha256: sha256Hex("text") },
    { kind: "directory", mode: "0750", uid, gid, sha256: "" },
    { kind: "link", mode: "0000", uid: 0, gid: 0, sha256: "" },
    { kind: "missing", mode: "0000", uid: 0, gid: 0, sha256: "" },
    { kind: "file", mode: "0600", uid, gid, sha256: sha256Hex("other text") },
  ]);
  expect(facts.mounts.get("/proc/none/such")).toEqual({ at: "/proc", type: "proc", readOnly: false });
  expect(facts.mounts.get(join(folder, "not/there"))?.at).toMatch(/^\//);
  expect(facts.clusterVersion).toBe("17");
  expect(facts.answers.get("long")).toEqual({ exitCode: 7, stdout: long, stderr: "wrong" });
  expect(facts.answers.get("none")).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  expect(facts.answers.get("missing")).toMatchObject({ exitCode: 127, stdout: "" });
});

test("a missing account is no error, and no question runs as another one", async () => {
  const facts = await readState(connection, query({ user: "no-such-account", ask: { id: "id -un" } }));
  expect(facts.account).toBeNull();
  expect(facts.answers.get("id")).toMatchObject({
    exitCode: 126,
    stdout: "",
    stderr: "there is no account no-such-account",
  });
});

const WHOLE = [
  "account 105 109",
  "kind file",
  "stat 644 0 0 /etc/x",
  "mount 0 nfs4 ro,vers=4.2 /mnt/my nas",
  "out node djI0LjE2LjAK",
  "code node 0",
  "machine aarch64",
  "installed 0123456789abcdef0123456789abcdef",
  'os PRETTY_NAME="Ubuntu 24.04 LTS"',
  "cluster 16",
  "systemd",
  "unit LoadState=loaded",
  "unit ActiveState=active",
  "unit UnitFileState=enabled",
  "unit ",
  "unit LoadState=not-found",
  "unit ActiveState=inactive",
  "unit UnitFileState=",
  "package installed postgresql-16 16.10-0ubuntu0.24.04.1",
  "package config-files nodejs 18.19",
  "end",
  "",
];

test("records of another host become facts", () => {
  const asked = query({
    user: "postgres",
    paths: ["/etc/x"],
    mounts: ["/mnt/my nas/pg"],
    units: ["a.timer", "b.timer"],
    ask: { node: "node --version" },
  });
  expect(parseState(asked, WHOLE.join("\n"))).toMatchObject({
    account: { name: "postgres", uid: 105, gid: 109 },
    mounts: new Map([["/mnt/my nas/pg", { at: "/mnt/my nas", type: "nfs4", readOnly: true }]]),
    units: { "a.timer": "enabled active", "b.timer": "missing" },
    packages: { "postgresql-16": "16.10-0ubuntu0.24.04.1" },
    machine: "aarch64",
    machineId: "0123456789abcdef0123456789abcdef",
    clusterVersion: "16",
    answers: new Map([["node", { exitCode: 0, stdout: "v24.16.0\n", stderr: "" }]]),
  });
  expect(() => parseState(asked, WHOLE.filter((line) => line !== "end").join("\n"))).toThrow(
    "the answer is incomplete",
  );
  for (const gone of ["kind file", "stat 644", "mount 0", "code node"]) {
    expect(() => parseState(asked, WHOLE.filter((line) => !line.startsWith(gone)).join("\n"))).toThrow(
      /the answer lacks it|is not whole/,
    );
  }
  expect(() => parseState(asked, WHOLE.filter((line) => !line.startsWith("unit ")).join("\n"))).toThrow(
    "1 answers for 2 units",
  );
});

test("a unit without a state is an error, not a disabled one", () => {
  const lines = ["account 105 109", "machine x86_64", "systemd", "end", ""];
  expect(() => parseState(query({ units: ["a.timer"] }), lines.join("\n"))).toThrow("systemd does not answer");
});
