import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ServerContainer } from "../../../../runtime/postgres/container/serverContainer";
import { temporaryFolder } from "../../repository/support";

const recorded = readFileSync(join(__dirname, "docker.json"), "utf8");

/** A container whose first process is this one, so that its files are this machine's. */
function serverAt(source: string, more: object = {}): ServerContainer {
  const [container] = JSON.parse(recorded) as [Record<string, object>];
  const text = JSON.stringify([
    {
      ...container,
      State: { ...container["State"], Pid: process.pid },
      Mounts: [{ Type: "bind", Source: source, Destination: "/data", RW: true }],
      ...more,
    },
  ]);
  const options = { name: "shop-db", engine: "docker" as const, dataDirectory: "/data" };
  return new ServerContainer(options, async () => ({ exitCode: 0, stdout: text, stderr: "" }));
}

// claim: docs/hosts/containers.md: a link that a container has made leads root to no file of the host
test("a socket that is a link is refused", async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "sockets"));
  const server = serverAt(folder);
  await server.look();
  const root = `/proc/${process.pid}/root`;
  expect(await server.socketPath(join(folder, "sockets"), 5432)).toBe(`${root}${folder}/sockets`);
  symlinkSync("/run/docker.sock", join(folder, "sockets/.s.PGSQL.5432"));
  await expect(server.socketPath(join(folder, "sockets"), 5432)).rejects.toThrow("of container 'shop-db' is a link");
  expect(await server.socketPath(join(folder, "sockets"), 5433)).toBe(`${root}${folder}/sockets`);
});

test("a password's file is read through no link that is made late, and a process file through none", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "password"), "secret\n");
  const environment = { Config: { Env: [`POSTGRES_PASSWORD_FILE=${folder}/password`] } };
  const server = serverAt(folder, environment);
  await server.look();
  expect((await server.password("postgres"))?.reveal()).toBe("secret");
  mkdirSync(join(folder, "sockets"));
  writeFileSync(join(folder, "postmaster.pid"), `1\n/data\n0\n5432\n${folder}/sockets\n`);
  expect(await server.socketPath(undefined, 5432)).toContain(`${folder}/sockets`);
  rmSync(join(folder, "postmaster.pid"));
  writeFileSync(join(folder, "other"), `1\n/data\n0\n5432\n/elsewhere\n`);
  symlinkSync("other", join(folder, "postmaster.pid"));
  expect(await server.socketPath(undefined, 5432)).not.toContain("elsewhere");
});

test("a container whose data are in no volume has no accounts here, and hides no report", async () => {
  const server = serverAt("", { Mounts: [{ Type: "tmpfs", Source: "", Destination: "/data", RW: true }] });
  await server.look();
  expect(server.findUsers()).toBeUndefined();
});

// claim: docs/hosts/containers.md: nothing is restored under a container that goes on by itself
test.each([
  [
    { Status: "restarting", Running: true, Restarting: true, Pid: 0 },
    /restarts again and again/,
    /docker stop -t 3600/,
  ],
  [{ Status: "paused", Running: true, Paused: true, Pid: process.pid }, /is paused/, /docker unpause shop-db, then/],
  [{ Status: "running", Running: true, Pid: process.pid }, /of PostgreSQL runs/, /docker stop -t 3600/],
])("nothing is restored under %j", async (State, message, hint) => {
  await expect(serverAt(temporaryFolder(), { State }).requireStopped()).rejects.toMatchObject({
    kind: "pgRunning",
    message: expect.stringMatching(message),
    hints: [expect.stringMatching(hint)],
  });
});

test("a paused container is not waited for", async () => {
  const State = { Status: "paused", Running: true, Paused: true, Pid: process.pid };
  const server = serverAt(temporaryFolder(), { State });
  await expect(server.socketPath(undefined, 5432)).rejects.toThrow("container 'shop-db' is paused");
});
