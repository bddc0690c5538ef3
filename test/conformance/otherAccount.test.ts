/**
 * What another account on the same host can do to this program: files that root would act on, links in place of locks
 * and logs, and stop files. Every account is real: root, PostgreSQL's account, and an unrelated one.
 */
// claim: README.md: another account of a host cannot get root's or PostgreSQL's rights through journals, links, lock
//   paths or stop files (docs/security.md) (as root, with real accounts)
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { run, type RunResult } from "../../tools/parts/process";
import { isRoot, type OsUser, serverUser } from "../../tools/parts/users";
import { findRuntime, type RuntimeProgram } from "../harness/real/runtimeCli";

const ROOT: OsUser = { name: "root", uid: 0, gid: 0, group: "root" };
const STRANGER: OsUser = { name: "stranger", uid: 61_111, gid: 61_111, group: "stranger" };

describe.skipIf(!isRoot())("another account of the host", () => {
  let runtime: RuntimeProgram;
  let postgres: OsUser;
  let folder: string;

  beforeAll(async () => {
    runtime = await findRuntime();
    postgres = serverUser();
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "other-"));
    chmodSync(folder, 0o755);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const directory = (name: string, owner: OsUser, mode = 0o755): string => {
    const path = join(folder, name);
    mkdirSync(path, { recursive: true });
    chmodSync(path, mode);
    chownSync(path, owner.uid, owner.gid);
    return path;
  };
  const file = (path: string, owner: OsUser, content: string, mode = 0o600): string => {
    writeFileSync(path, content);
    chmodSync(path, mode);
    chownSync(path, owner.uid, owner.gid);
    return path;
  };
  const link = (target: string, path: string, owner: OsUser): void => {
    symlinkSync(target, path);
    lchownSync(path, owner.uid, owner.gid);
  };
  const ours = (
    user: OsUser,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<RunResult> => {
    const config = file(
      join(folder, "pgbackrest.conf"),
      ROOT,
      `[global]\nrepo1-path=${join(folder, "repo")}\nlog-level-console=info\n`,
      0o644,
    );
    return run(runtime.node, [runtime.file, `--config=${config}`, "--stanza=main", ...args], {
      user,
      cwd: "/",
      timeoutMs: 60_000,
      env,
    });
  };
  /** A command that records which account ran it. */
  const proof = (): { readonly command: string[]; readonly path: string } => {
    const location = directory("proof", postgres, 0o777);
    const path = join(location, "uid");
    return { path, command: ["/bin/sh", "-c", `id -u > ${path}; exit 1`] };
  };

  describe("planting files as PostgreSQL's account", () => {
    const journal = (data: string, phase: string, command: readonly string[]): object => ({
      version: 1,
      phase,
      pid: 1,
      request: { stanza: "main", type: "default", targetAction: "promote", targetExclusive: false },
      label: "20260101-000000F",
      startedAtS: 1_790_000_000,
      configuredDirectory: data,
      dataDirectory: data,
      account: { uid: postgres.uid, gid: postgres.gid, mode: 0o700 },
      control: { stop: command, start: command, asAccount: false },
      moves: [{ from: data, to: `${data}.before-recover-1` }],
      restoreArgs: [],
      oldWal: null,
      stamp: "1",
    });

    test.each([
      ["begun", "start", ["--yes"]],
      ["to be undone", "undo", ["--undo", "--yes"]],
    ])("a planted recovery journal (%s) runs nothing as root", async (_, phase, args) => {
      const home = directory("home", postgres);
      const data = directory("home/data", postgres, 0o700);
      const { command, path } = proof();
      file(`${data}.recover.json`, postgres, JSON.stringify(journal(data, phase, command)));
      const { exitCode, stdout } = await ours(ROOT, [`--pg1-path=${data}`, "recover", ...args]);
      expect(existsSync(path) ? `ran as ${readFileSync(path, "utf8")}` : "nothing ran").toBe("nothing ran");
      expect({ exitCode, stdout }).toEqual({
        exitCode: 88,
        stdout: expect.stringMatching(/data\.recover\.json' belongs to account \d+.*root does not use it/),
      });
      expect(lstatSync(home).uid).toBe(postgres.uid);
    });

    // claim: docs/security.md: no other account of the host becomes root or PostgreSQL's account through locks,
    //   journals, logs, links or stop files; the page names the test of each line
    test("a planted rollback journal runs nothing as root", async () => {
      const data = directory("home/data", postgres, 0o700);
      chownSync(join(folder, "home"), postgres.uid, postgres.gid);
      const { command, path } = proof();
      const bin = directory("bin", ROOT);
      file(join(bin, "zfs"), ROOT, "#!/bin/sh\ncase $1 in list) exit 1;; get) echo -;; esac\n", 0o755);
      const planted = {
        version: 1,
        snapshot: "tank/pg@a",
        startedAtS: 1_790_000_000,
        dataDirectory: data,
        account: { uid: postgres.uid, gid: postgres.gid, mode: 0o700 },
        control: { stop: command, start: command, asAccount: false },
        plan: {
          dataset: "tank/pg",
          mountPoint: data,
          kept: "tank/pg.kept",
          keptMountPoint: `${data}.kept`,
          safety: "tank/pg@safety",
          snapshotName: "a",
          properties: {},
        },
      };
      file(`${data}.rollback.json`, postgres, JSON.stringify(planted));
      const { exitCode, stdout } = await ours(
        ROOT,
        [`--pg1-path=${data}`, "rollback", "--snapshot=tank/pg@a", "--yes"],
        {
          PATH: `${bin}:${process.env["PATH"] ?? ""}`,
        },
      );
      expect(existsSync(path) ? `ran as ${readFileSync(path, "utf8")}` : "nothing ran").toBe("nothing ran");
      expect({ exitCode, stdout }).toEqual({
        exitCode: 88,
        stdout: expect.stringMatching(/data\.rollback\.json' belongs to account \d+.*root does not use it/),
      });
    });

    test("root does not write through a link in place of a log file", async () => {
      const logs = directory("log", postgres);
      const precious = file(join(folder, "precious"), ROOT, "precious\n");
      link(precious, join(logs, "main-verify.log"), postgres);
      const { stdout } = await ours(ROOT, [`--log-path=${logs}`, "verify"]);
      expect(readFileSync(precious, "utf8")).toBe("precious\n");
      expect(stdout).toContain(`unable to open log file '${logs}/main-verify.log'`);
    });
  });

  describe("planting files as any account", () => {
    test("nothing is written through a link in place of a lock file", async () => {
      const locks = directory("lock", STRANGER, 0o777);
      const precious = file(join(folder, "precious"), postgres, "precious\n");
      directory("repo", postgres);
      link(precious, join(locks, "main-backup.lock"), STRANGER);
      const { exitCode, stdout } = await ours(postgres, [`--lock-path=${locks}`, "--repo1-retention-full=1", "expire"]);
      expect(readFileSync(precious, "utf8")).toBe("precious\n");
      expect({ exitCode, stdout }).toEqual({
        exitCode: 88,
        stdout: expect.stringContaining(`lock path '${locks}' belongs to account ${STRANGER.uid}`),
      });
    });

    test("nothing is written through a link in a world-writable lock directory", async () => {
      const locks = directory("lock", ROOT, 0o1777);
      const precious = file(join(folder, "precious"), postgres, "precious\n");
      directory("repo", postgres);
      link(precious, join(locks, "main-backup.lock"), STRANGER);
      const { exitCode, stdout } = await ours(postgres, [`--lock-path=${locks}`, "--repo1-retention-full=1", "expire"]);
      expect(readFileSync(precious, "utf8")).toBe("precious\n");
      expect({ exitCode, stdout }).toEqual({
        exitCode: 88,
        stdout: expect.stringContaining("main-backup.lock' is a symbolic link"),
      });
    });

    test("a planted stop file stops nothing", async () => {
      directory("repo", postgres);
      for (const [name, owner, mode] of [
        ["its own", STRANGER, 0o777],
        ["everybody's", ROOT, 0o1777],
      ] as const) {
        const locks = directory(name, owner, mode);
        file(join(locks, "all.stop"), STRANGER, "", 0o644);
        // archive-push checks for the stop file first. Without one, it fails because there is no segment.
        const { stdout } = await ours(postgres, [
          `--lock-path=${locks}`,
          `--pg1-path=${folder}`,
          "archive-push",
          "000000010000000000000001",
        ]);
        expect({ name, stdout }).toEqual({ name, stdout: expect.not.stringContaining("stop file exists") });
      }
    });

    test("a stop file of root or of the account stops", async () => {
      directory("repo", postgres);
      for (const [index, owner] of [ROOT, postgres].entries()) {
        const locks = directory(`lock${index}`, ROOT, 0o1777);
        file(join(locks, "all.stop"), owner, "", 0o644);
        const { exitCode } = await ours(postgres, [
          `--lock-path=${locks}`,
          `--pg1-path=${folder}`,
          "archive-push",
          "000000010000000000000001",
        ]);
        expect({ owner: owner.name, exitCode }).toEqual({ owner: owner.name, exitCode: 62 });
      }
    });
  });
});
