import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { hostParts } from "../../../../components/render/host/hostParts";
import { stockParts } from "../../../../components/render/hostEngines/pgbackrest";
import { BUCKET, plan } from "../../plans";

const STOCK = { engine: "pgbackrest" } as const;

test("configuration and secrets belong to root, readable for PostgreSQL, at stock's default path", () => {
  const { files } = hostParts(plan(STOCK));
  expect(files.map(({ path, mode, owner }) => `${path} ${mode} ${owner}`)).toEqual([
    "/etc/pgbackrest/pgbackstop.json 0644 admin",
    "/usr/local/lib/pgbackstop/pgbackrest-each 0755 admin",
    "/usr/local/bin/pgbackstop 0755 admin",
    "/etc/pgbackrest/pgbackrest.conf 0640 shared",
  ]);
});

test("PostgreSQL archives as in pgBackRest's documentation", () => {
  expect(stockParts(plan(STOCK)).settings).toEqual({
    archive_mode: "on",
    archive_command: "pgbackrest --stanza=main archive-push %p",
    archive_timeout: "1min",
  });
  const elsewhere = plan({
    ...STOCK,
    directories: { config: "/etc/50% off" },
    pgbackrestPath: "/opt/pgbackrest/bin/pgbackrest",
  });
  expect(stockParts(elsewhere).settings["archive_command"]).toBe(
    "/opt/pgbackrest/bin/pgbackrest '--config=/etc/50%% off/pgbackrest.conf' '--config-include-path=/etc/50%% off/conf.d' --stanza=main archive-push %p",
  );
});

test("a backup goes into each repository of its schedule", () => {
  const { units } = stockParts(
    plan({
      ...STOCK,
      schedules: { full: { cron: "0 2 * * 0" }, diff: { cron: "0 4 * * *", repositories: ["repo2"] } },
    }),
  );
  const backups = units.filter(({ name }) => /-(full|diff)\.service$/.test(name));
  const commands = backups.map(({ text }) => /^ExecStart=(.*)$/m.exec(text)?.[1]);
  const each = "/usr/local/lib/pgbackstop/pgbackrest-each";
  const stock = "/usr/bin/pgbackrest --stanza=main --log-level-console=info";
  expect(commands).toEqual([`${each} 1,2 ${stock} --type=full backup`, `${each} 2 ${stock} --type=diff backup`]);
});

/** Runs the script with a fake pgBackRest that prints its arguments and fails for repo1 (41) and repo3 (82). */
function runEach(keys: string, ...args: string[]): { status: number | null; calls: string[]; stderr: string } {
  const folder = mkdtempSync(join(tmpdir(), "pgb-each-"));
  try {
    const [each, program] = [join(folder, "each"), join(folder, "program")];
    const text =
      stockParts(plan({ ...STOCK, repositories: { repo1: BUCKET } })).files.find(({ path }) =>
        path.endsWith("pgbackrest-each"),
      )?.text ?? "";
    writeFileSync(each, text);
    writeFileSync(program, '#!/bin/sh\necho "$*"\ncase "$*" in *--repo=1) exit 41 ;; *--repo=3) exit 82 ;; esac\n');
    for (const path of [each, program]) chmodSync(path, 0o755);
    const { status, stdout, stderr } = spawnSync(each, [keys, program, ...args], { encoding: "utf8" });
    return { status, calls: stdout.trim().split("\n"), stderr };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("a failing repository does not stop the others, and the exit code is the first failure's", () => {
  expect(runEach("1,2,3", "backup")).toEqual({
    status: 41,
    calls: ["backup --repo=1", "backup --repo=2", "backup --repo=3"],
    stderr: "pgbackrest-each: repo1: exit code 41\npgbackrest-each: repo3: exit code 82\n",
  });
  expect(runEach("2", "backup")).toEqual({ status: 0, calls: ["backup --repo=2"], stderr: "" });
});

test("a named repository is the only one", () => {
  expect(runEach("1,2", "--type=full", "backup", "--repo=2")).toEqual({
    status: 0,
    calls: ["--type=full backup --repo=2"],
    stderr: "",
  });
});

test("pgbackstop is the same command as with the other engine: backups are stock's, the rest reads, as PostgreSQL's account or not at all", () => {
  const folder = mkdtempSync(join(tmpdir(), "pgb-launcher-"));
  try {
    const program = (name: string, text: string): void => {
      writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`);
      chmodSync(join(folder, name), 0o755);
    };
    program("pgbackrest-each", 'echo "each $PGBACKREST_STANZA $*"');
    program("node", 'echo "ours $PGBACKREST_STANZA $*"');
    program("setpriv", 'while [ "$1" != -- ]; do shift; done; shift; echo as-postgres; exec "$@"');
    const directories = { lib: folder, bin: folder };
    const made = stockParts(plan({ ...STOCK, directories, nodePath: join(folder, "node") })).files;
    writeFileSync(join(folder, "launcher"), made.find(({ path }) => path === join(folder, "pgbackstop"))?.text ?? "");
    const run = (args: readonly string[], uid = "0", name = "root") => {
      program("id", `case "$*" in -un) echo ${name} ;; -u) echo ${uid} ;; *) echo 105 ;; esac`);
      return spawnSync("/bin/sh", [join(folder, "launcher"), ...args], {
        encoding: "utf8",
        env: { PATH: `${folder}:${process.env["PATH"] ?? ""}` },
      });
    };
    expect(run(["--type=full", "backup"]).stdout).toBe(
      "as-postgres\neach main 1,2 /usr/bin/pgbackrest --type=full backup\n",
    );
    expect(run(["status"]).stdout).toMatch(/^as-postgres\nours main \S*runtime\.cjs .* status\n$/);
    expect(run(["drill", "--how=open"]).stdout).toMatch(/^ours main /);
    expect(run(["recover", "--repo=2"]).stdout).toMatch(/^ours .*recover --repo=2\n$/);
    expect(run(["status"], "105", "postgres").stdout).toMatch(/^ours /);
    expect(run(["status"], "1000", "deploy")).toMatchObject({ status: 41, stdout: "" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
