/** What starts the server after a recovery, with doubles of PostgreSQL and of an engine. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ServerContainer } from "../../../../runtime/postgres/container/serverContainer";
import { findStartFault, type StartQuestion } from "../../../../runtime/operations/recover/startProof";
import { ImagePrograms } from "../../../../runtime/postgres/container/imagePrograms";

const { signal } = new AbortController();
const account = { uid: 999, gid: 999 };
let folder: string;
let path: string | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "start-"));
  path = process.env["PATH"];
});
afterEach(() => {
  process.env["PATH"] = path;
  rmSync(folder, { recursive: true, force: true });
});

const program = (name: string, text: string): string => {
  const file = join(folder, name);
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o755);
  return file;
};
const faultOf = async (over: Partial<StartQuestion>): Promise<string> => {
  const facts = { debianCluster: null, startedWith: null };
  const question = { facts, container: undefined, pgVersion: "17", account, asAccount: [], isConfigured: false };
  const fault = await findStartFault({ ...question, ...over }, signal);
  return fault === null ? "" : `${fault.kind}: ${fault.message}`;
};

describe("on a host", () => {
  const startedBy = (file: string): Partial<StartQuestion> => ({
    facts: { debianCluster: null, startedWith: `${file} "-D" "/data"\n` },
  });

  test("the program of the last start has to have the backup's version", async () => {
    expect(await faultOf(startedBy(program("postgres", "echo 'postgres (PostgreSQL) 17.4'")))).toBe("");
    expect(await faultOf(startedBy(program("postgres", "echo 'postgres (PostgreSQL) 15.9'")))).toContain(
      "which starts the server here, is of 'postgres (PostgreSQL) 15.9', and the backup of PostgreSQL 17",
    );
    expect(await faultOf(startedBy(join(folder, "gone")))).toMatch(/^fileMissing: .* does not exist$/);
  });

  test("a program that does not run has not said that it has another version", async () => {
    expect(await faultOf(startedBy(program("postgres", "echo 'libpq.so.5: cannot open' >&2; exit 127")))).toMatch(
      /^execute: .*libpq\.so\.5/,
    );
  });

  test("Debian's cluster is started by the programs of its version", async () => {
    const facts = { debianCluster: { major: "9.0", name: "main" }, startedWith: null };
    expect(await faultOf({ facts })).toBe(
      "fileMissing: '/usr/lib/postgresql/9.0/bin/postgres', which starts the server here, does not exist",
    );
  });

  test("a command of the settings file may start anything, and so may an unknown one", async () => {
    expect(await faultOf({ ...startedBy(join(folder, "gone")), isConfigured: true })).toBe("");
    expect(await faultOf({})).toBe("");
  });
});

describe("in a container", () => {
  const inspected = [
    { Id: "1", Name: "/shop", Image: "sha256:1", State: { Status: "running", Pid: 1 }, Config: { Image: "shop:1" } },
  ];
  /** @param run what `docker run` does */
  const container = async (run: string): Promise<ServerContainer> => {
    process.env["PATH"] = `${folder}:${path}`;
    program("docker", `[ "$1" = run ] || exit 1\n${run}`);
    const made = new ServerContainer({ name: "shop", engine: "docker", dataDirectory: "/data" }, async (argv) => ({
      exitCode: 0,
      signal: null,
      stdout: argv.includes("inspect") ? JSON.stringify(inspected) : "",
      stderr: "",
    }));
    await made.look();
    return made;
  };
  /** The image as a folder: the engine's double runs the script in it. */
  const image = (version: string): string => {
    mkdirSync(join(folder, "bin"), { recursive: true });
    program("bin/postgres", `echo 'postgres (PostgreSQL) ${version}'`);
    return `while [ "$1" != -c ]; do shift; done; PATH=${folder}/bin exec /bin/sh "$@"`;
  };
  const NO_SHELL = [
    [127, 'exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown.'],
    [
      127,
      'Error: runc: exec: "/bin/sh": executable file not found in $PATH: OCI runtime attempted to invoke a command',
    ],
    [126, 'OCI runtime exec failed: exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown'],
  ] as const;

  test("an image of the backup's version starts the server, also without any program but the shell", async () => {
    expect(await faultOf({ container: await container(image("17.4")) })).toBe("");
  });

  test("an image of another version does not", async () => {
    expect(await faultOf({ container: await container(image("15.9")) })).toMatch(
      /^fileMissing: image shop:1 has no PostgreSQL 17\n.*\/bin is of 'postgres \(PostgreSQL\) 15\.9'/,
    );
  });

  test.each(NO_SHELL)("an image without a shell does not (code %i, %s)", async (code, text) => {
    expect(await faultOf({ container: await container(`echo '${text}' >&2; exit ${code}`) })).toBe(
      "fileMissing: image shop:1 has no shell: there is no /bin/sh",
    );
  });

  test.each([125, 126, 127, 137, 1])("an engine that fails with %i has not said no", async (code) => {
    const failing = await container(`echo 'Cannot connect to the Docker daemon' >&2; exit ${code}`);
    expect(await faultOf({ container: failing })).toMatch(/^execute: unable to look into image shop:1: Cannot connect/);
    const answering = await container(image("17.4"));
    const programs = await answering.findPrograms("17", account, folder, signal);
    expect(programs).toBeInstanceOf(ImagePrograms);
    program("docker", `exit ${code}`);
    if (code === 1) expect(await programs.hasLibrary("cron")).toBe(false);
    else await expect(programs.hasLibrary("cron")).rejects.toMatchObject({ kind: "execute" });
  });
});
