import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launcherFile } from "../../../../components/render/host/launcher";
import { backupUnits } from "../../../../components/render/units/backupUnits";
import type { HostSettings } from "../../../../components/plan/model/databaseSettings";
import { BUCKET, NAS, plan } from "../../plans";

const BOTH: HostSettings["repositories"] = { repo1: NAS, repo2: BUCKET };
let folder: string;
/** Runs the launcher with fakes of id, systemd-run and node, which print their arguments. */
const run = (
  args: readonly string[],
  { uid = "0", exitCode = 0, bin = "/usr/local/bin", node = 'echo "direct $*"', repositories = BOTH } = {},
) => {
  const program = (name: string, text: string): void => {
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(folder, name), 0o755);
  };
  program("id", `echo ${uid}`);
  program("systemd-run", `for word; do printf '%s\\n' "$word"; done; cat; exit ${exitCode}`);
  program("node", node);
  const file = launcherFile(
    plan({
      nodePath: join(folder, "node"),
      directories: { config: folder, bin },
      repositories,
      drills: { daily: { cron: "0 5 * * *", how: "open" }, weekly: { cron: "0 5 * * 6" } },
    }),
  );
  writeFileSync(join(folder, "launcher"), file?.text ?? "");
  return spawnSync("/bin/sh", [join(folder, "launcher"), ...args], {
    encoding: "utf8",
    input: "from the caller",
    env: { PATH: `${folder}:${process.env["PATH"] ?? ""}` },
  });
};
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "launcher-"));
  mkdirSync(join(folder, "credentials"));
  writeFileSync(join(folder, "credentials", "repo2.conf"), "");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("root's verb is a unit with the keys and the caller's arguments, input and exit code", () => {
  const { status, stdout } = run(["--target=a $b ${c}", "restore"], { exitCode: 75 });
  expect(status).toBe(75);
  const lines = stdout.split("\n");
  expect(lines).toContain("--pipe");
  expect(lines).toContain("User=postgres");
  expect(lines).toContain("Environment=MALLOC_ARENA_MAX=1");
  // Not as an option: the caller may give it too, and twice it would be refused.
  expect(lines).toContain("Environment=PGBACKREST_STANZA=main");
  expect(lines).toContain(`LoadCredential=repo2.conf:${folder}/credentials/repo2.conf`);
  expect(lines.slice(lines.indexOf("--"))).toEqual([
    "--",
    join(folder, "node"),
    "/usr/local/lib/pgbackstop/runtime.cjs",
    `--config=${folder}/pgbackrest.conf`,
    "--config-include-path=${CREDENTIALS_DIRECTORY}",
    "--target=a $$b $${c}",
    "restore",
    "from the caller",
  ]);
});

// claim: docs/hosts/updates.md: check and backups of an update run under the restrictions of the scheduled ones
test("backup and check run under every restriction of the scheduled backup, other verbs without", () => {
  const settings = { repositories: BOTH, schedules: { full: { cron: "0 2 * * 0" } } };
  const [service] = backupUnits(plan({ ...settings, directories: { config: folder } }));
  const other = /^(Type|User|Environment|ExecStart|LoadCredential|TimeoutStartSec|Nice|IOScheduling\w+)=/;
  const lines = (service?.text.split("[Service]\n")[1] ?? "").trim().split("\n");
  const restrictions = lines.filter((line) => !other.test(line));
  expect(restrictions.length).toBeGreaterThan(15);
  for (const verb of ["backup", "check"]) {
    const { stdout } = run(["--log-level-console=info", verb]);
    const [properties = ""] = stdout.split("\n--\n");
    expect(properties.split("\n")).toEqual(expect.arrayContaining(restrictions));
    expect(stdout).toContain(`\n--log-level-console=info\n${verb}\n`);
  }
  expect(run(["restore"]).stdout).not.toContain("ProtectSystem");
});

test("the caller may give the stanza, and no other one", () => {
  expect(run(["--stanza=main", "info"]).stdout).toContain("\n--stanza=main\ninfo\n");
  expect(run(["--stanza=other", "info"])).toMatchObject({
    status: 31,
    stdout: "",
    stderr: "pgbackstop: this command is of stanza main\n",
  });
});

test("verbs that stop PostgreSQL and move its directory run as root", () => {
  expect(run(["recover", "--yes"]).stdout).toContain("\nUser=root\n");
  expect(run(["info"]).stdout).toContain("\nUser=postgres\n");
});

test("a drill that restores is PostgreSQL's account's", () => {
  for (const args of [["drill"], ["drill", "--name=weekly"], ["drill", "--name=daily", "--how=restore"]])
    expect(run(args).stdout).toContain("\nUser=postgres\n");
});

test("they are passed its path if it is not the default", () => {
  expect(run(["recover", "--yes"]).stdout).not.toContain("--launcher");
  const { stdout } = run(["--log-level-console=off", "rollback", "--yes"], { bin: "/opt/$pg/bin" });
  expect(stdout).toContain("\n--launcher=/opt/$$pg/bin/pgbackstop\n--log-level-console=off\nrollback\n--yes\n");
  expect(run(["info"], { bin: "/opt/bin" }).stdout).not.toContain("--launcher");
  expect(run(["recover"], { bin: "/opt/bin", repositories: { repo1: NAS } }).stdout).not.toContain("--launcher");
});

// claim: docs/open.md, docs/clones.md: on a host with an agent `open` and `clone` have the keys only while they start
test
  .skipIf(process.geteuid?.() !== 0)
  .each([
    ["open"],
    ["clone"],
    ["diff"],
    ["extract-table", "--open"],
    ["drill", "--how=open"],
    ["drill", "--name=daily"],
  ])("%s is no unit, which would end its processes, and has the keys only while it starts", (...command) => {
  const { status, stdout } = run([...command, "--at=/mnt/it's $past"], {
    node: 'echo "$CREDENTIALS_DIRECTORY"; echo "$PGBACKREST_STANZA"; for word; do printf "%s\\n" "$word"; done; ls -ld "$CREDENTIALS_DIRECTORY" "$CREDENTIALS_DIRECTORY"/*; exit 9',
  });
  const [keys = "", ...lines] = stdout.split("\n");
  const at = 5 + command.length;
  expect([status, lines.slice(0, at)]).toEqual([
    9,
    [
      "main",
      "/usr/local/lib/pgbackstop/runtime.cjs",
      `--config=${folder}/pgbackrest.conf`,
      `--config-include-path=${keys}`,
      ...command,
      "--at=/mnt/it's $past",
    ],
  ]);
  expect(lines[at]).toMatch(/^drwx------ /);
  expect(lines[at + 1]).toContain(`${keys}/repo2.conf`);
  expect([keys.startsWith("/run/pgbackstop-open-"), existsSync(keys)]).toEqual([true, false]);
});

// claim: docs/hosts/instant.md: on a host with an agent `recover --instant` is no unit, and its steps of PostgreSQL's
//   account get the keys through the launcher
test.skipIf(process.geteuid?.() !== 0)("an instant recovery is no unit, and its steps go through the launcher", () => {
  const node = 'for word; do printf "%s\\n" "$word"; done; ls "$CREDENTIALS_DIRECTORY"';
  const { stdout } = run(["recover", "--instant", "--target=2026-11-20 06:40:59+00"], { node });
  const [, , include, ...lines] = stdout.trim().split("\n");
  expect(include).toMatch(/^--config-include-path=\/run\/pgbackstop-open-/);
  expect(lines).toEqual([
    "--launcher=/usr/local/bin/pgbackstop",
    "recover",
    "--instant",
    "--target=2026-11-20 06:40:59+00",
    "repo2.conf",
  ]);
  expect(run(["recover", "--yes"], { node }).stdout).toContain("\nUser=root\n");
});

test("missing keys are named before anything runs", () => {
  const refused = run(["info"], {
    repositories: {
      repo1: { ...BUCKET, at: { ...BUCKET.at, encrypted: false }, secretFiles: { options: "/run/secrets/no such" } },
    },
  });
  expect([refused.status, refused.stdout]).toEqual([55, ""]);
  expect(refused.stderr).toContain("pgbackstop: /run/secrets/no such is missing");
});

test("an account other than root is refused with the reason; help needs no key", () => {
  const refused = run(["info"], { uid: "1000" });
  expect([refused.status, refused.stdout]).toEqual([41, ""]);
  expect(refused.stderr).toBe(
    "pgbackstop: only root can lend the keys of the repositories to info: sudo pgbackstop …\n",
  );
  expect(run(["help", "restore"], { uid: "1000" }).stdout).toBe(
    "direct /usr/local/lib/pgbackstop/runtime.cjs help restore\n",
  );
});

test("a signal stops the unit, and its exit code is still the caller's", () => {
  const file = launcherFile(plan({ directories: { config: folder } }));
  writeFileSync(join(folder, "launcher"), file?.text ?? "");
  const script = `
    printf '#!/bin/sh\\ntouch begun; while [ ! -e stopped ]; do sleep 0.05; done; exit 63\\n' > systemd-run
    printf '#!/bin/sh\\necho "$*" > stopped\\n' > systemctl
    printf '#!/bin/sh\\necho 0\\n' > id
    chmod +x systemd-run systemctl id; rm -f stopped begun
    PATH=$PWD:$PATH sh launcher info & pid=$!
    while [ ! -e begun ]; do sleep 0.05; done
    kill -TERM $pid; wait $pid; echo "code $?"; cat stopped`;
  const printed = execFileSync("/bin/sh", ["-c", script], { cwd: folder, encoding: "utf8" });
  expect(printed).toMatch(/^code 63\nstop --no-block pgbackstop-main-run-\d+\.service\n$/);
});

test("without an agent there is no launcher", () => {
  expect(launcherFile(plan({ agent: false }))).toBeNull();
});
