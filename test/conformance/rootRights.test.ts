/**
 * Root under a configuration of PostgreSQL's account, and root in that account's directories: every verb, with real
 * accounts and files.
 */
// claim: docs/security.md: root runs and touches with its own rights only what a configuration names that root alone
//   can change; every verb, every way to control a file (as root, with real accounts)
// claim: docs/security.md: root leaves no file where it would lock PostgreSQL's account out, in any verb
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { COMMANDS, type CommandName } from "../../runtime/config/commands";
import { run, type RunResult } from "../../tools/parts/process";
import { isRoot, type OsUser, serverUser } from "../../tools/parts/users";
import { findRuntime, type RuntimeProgram } from "../harness/real/runtimeCli";

const ROOT: OsUser = { name: "root", uid: 0, gid: 0, group: "root" };
const VERBS = COMMANDS.filter((command) => !/^(help|version|cnpg-.*)$/.test(command));
/** What each verb needs to begin. */
const ARGUMENTS: Readonly<Partial<Record<CommandName, readonly string[]>>> = {
  annotate: ["--set=20260101-000000F", "--annotation=a=b"],
  "archive-get": ["000000010000000000000001", "/tmp/none"],
  "archive-push": ["000000010000000000000001"],
  clone: ["--at=/tmp/none-clone", "--password-file=/dev/null"],
  close: ["--at=/tmp/none-open"],
  diff: ["--table=public.t", "--database=postgres", "--type=immediate"],
  "dump-get": ["--database=postgres"],
  "extract-table": ["--table=public.t", "--database=postgres"],
  hold: ["--set=20260101-000000F", "--reason=a"],
  notify: ["--event=failure", "--unit=a.service", "--notify-file=/dev/null"],
  manifest: ["--set=20260101-000000F"],
  open: ["--at=/tmp/none-open"],
  recover: ["--undo", "--yes"],
  "recover-step": ["server"],
  release: ["--set=20260101-000000F"],
  "repo-get": ["backup/main/backup.info", "--repo=2"],
  rollback: ["--snapshot=tank/pg@a", "--yes"],
  "stanza-delete": ["--repo=2"],
  "repo-ls": ["--repo=1"],
  sync: ["--from-repo=2", "--to-repo=1"],
};
/** Would show that a verb does not begin with these arguments. */
const MISUSED = /requires (option|parameter)|invalid option|not valid for|is not allowed for|must be different/;
/** Parameters follow the verb. */
function argumentsOf(verb: CommandName): string[] {
  const isOption = (argument: string): boolean => argument.startsWith("--");
  const all = ARGUMENTS[verb] ?? [];
  return [...all.filter(isOption), verb, ...all.filter((argument) => !isOption(argument))];
}
const SHORT = "io-timeout=2s\ndb-timeout=2s\nprotocol-timeout=3s\narchive-timeout=1s";
/** They serve until they are ended. */
const SERVING: readonly string[] = ["agent"];

describe.skipIf(!isRoot())("root", () => {
  let runtime: RuntimeProgram;
  let postgres: OsUser;
  let folder: string;
  beforeAll(async () => {
    runtime = await findRuntime();
    postgres = serverUser();
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "rights-"));
    chmodSync(folder, 0o755);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const directory = (path: string, owner: OsUser, mode = 0o755): string => {
    mkdirSync(path, { recursive: true });
    chmodSync(path, mode);
    chownSync(path, owner.uid, owner.gid);
    return path;
  };
  const asRoot = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<RunResult> =>
    run(runtime.node, [runtime.file, ...args], { user: ROOT, cwd: "/", timeoutMs: 60_000, env });
  /** Path, owner and content of everything below a directory. */
  const contentOf = (path: string): string[] =>
    readdirSync(path, { recursive: true, encoding: "utf8" })
      .toSorted()
      .map((name) => {
        const at = join(path, name);
        const { mode, uid } = lstatSync(at);
        return `${name} ${mode.toString(8)} ${uid} ${lstatSync(at).isFile() ? readFileSync(at, "utf8") : ""}`;
      });

  describe("under a configuration that PostgreSQL's account decides", () => {
    let roots: string;
    let proof: string;
    let config: string;

    /** Names a program, and places in a directory of root's, with every option that can name one. */
    beforeEach(() => {
      roots = directory(join(folder, "roots"), ROOT, 0o700);
      directory(join(roots, "data/global"), ROOT, 0o700);
      writeFileSync(join(roots, "data/PG_VERSION"), "17\n");
      writeFileSync(join(roots, "key"), "key of root");
      proof = join(directory(join(folder, "proof"), ROOT, 0o777), "who");
      const program = ["/bin/sh", "-c", `{ id -u; id -G; echo "$PLANTED"; } >${proof}; exit 1`];
      const text = `[global]
${program.map((argument) => `repo1-s3-process-cmd=${argument}`).join("\n")}
repo1-type=s3
repo1-s3-key-type=process
repo1-s3-bucket=bucket
repo1-s3-endpoint=127.0.0.1
repo1-s3-region=r
repo1-path=/r
repo1-retention-full=1
repo2-path=${roots}/repo
repo2-retention-full=1
repo3-type=sftp
repo3-path=/r
repo3-sftp-host=127.0.0.1
repo3-sftp-host-port=1
repo3-sftp-host-user=x
repo3-sftp-host-key-check-type=none
repo3-sftp-host-key-hash-type=sha1
repo3-sftp-private-key-file=${roots}/key
repo3-retention-full=1
repo4-type=s3
repo4-s3-bucket=bucket
repo4-s3-endpoint=127.0.0.1
repo4-s3-region=r
repo4-s3-key=k
repo4-s3-key-secret=s
repo4-path=/s
repo4-storage-ca-file=${roots}/key
repo4-retention-full=1
lock-path=${roots}/lock
log-path=${roots}
log-level-file=info
spool-path=${roots}/spool
${SHORT}
[main]
pg1-path=${roots}/data
pg1-socket-path=${roots}
`;
      config = join(directory(join(folder, "above/conf"), ROOT), "pgbackrest.conf");
      writeFileSync(config, text);
      writeFileSync(
        join(dirname(config), "pgbackstop.json"),
        JSON.stringify({ postgres: { stop: program, start: program } }),
      );
    });

    const attempt = async (
      verb: CommandName,
      path = config,
    ): Promise<{ code: number; said: string; who: string[] }> => {
      const before = contentOf(roots);
      const args = [`--config=${path}`, "--stanza=main", ...argumentsOf(verb)];
      const result = await asRoot(args, { PLANTED: "secret of root" });
      expect(result.stdout).not.toMatch(MISUSED);
      expect(contentOf(roots), `${verb}: ${result.stdout}${result.stderr}`).toEqual(before);
      const who = existsSync(proof) ? readFileSync(proof, "utf8").split("\n") : [];
      rmSync(proof, { force: true });
      return { code: result.exitCode ?? -1, said: result.stdout + result.stderr, who };
    };
    const give = (path: string, gid: number = postgres.gid): void => lchownSync(path, postgres.uid, gid);

    test.each(VERBS.filter((verb) => !SERVING.includes(verb)))(
      "%s touches and runs nothing with root's rights or groups",
      async (verb) => {
        // A group of root's, as a file has it that root gave away by chown alone.
        give(config, 0);
        const { who } = await attempt(verb);
        if (who.length > 0) {
          expect(who[0]).toBe(String(postgres.uid));
          expect(who[1]?.split(" ")).not.toContain("0");
          expect(who[2]).toBe("");
        }
      },
      60_000,
    );

    test.each<readonly [string, () => string, "account" | "nobody"]>([
      ["its file", () => (give(config), config), "account"],
      ["its settings file", () => (give(join(dirname(config), "pgbackstop.json")), config), "account"],
      ["its directory", () => (give(dirname(config)), config), "account"],
      ["a directory above", () => (give(join(folder, "above")), config), "account"],
      [
        "a link in a directory of everybody",
        () => {
          const link = join(directory(join(folder, "shared"), ROOT, 0o1777), "pgbackrest.conf");
          symlinkSync(config, link);
          give(link);
          return link;
        },
        "account",
      ],
      ["a file of its group", () => (chmodSync(config, 0o664), config), "nobody"],
      ["a directory of its group", () => (chmodSync(dirname(config), 0o775), config), "nobody"],
      ["a directory of everybody above", () => (chmodSync(join(folder, "above"), 0o757), config), "nobody"],
    ])(
      "through %s: verbs work with the account's rights or end with 88",
      async (_, control, whose) => {
        const path = control();
        const listed = await attempt("repo-ls", path);
        expect(listed.who[0], listed.said).toBe(whose === "account" ? String(postgres.uid) : undefined);
        if (whose === "nobody") expect(listed, listed.said).toMatchObject({ code: 88 });
        for (const verb of ["recover", "rollback", "stop"] as const) {
          const { code, said, who } = await attempt(verb, path);
          expect(who).toEqual([]);
          if (whose === "nobody" || verb !== "stop") expect({ verb, code }, said).toEqual({ verb, code: 88 });
        }
      },
      60_000,
    );

    test("and obeys its own, with keys from a file of the account", async () => {
      const keys = directory(join(dirname(config), "conf.d"), postgres, 0o700);
      const file = join(keys, "repo1.conf");
      writeFileSync(file, "[global]\nrepo1-cipher-type=aes-256-cbc\n", { mode: 0o600 });
      give(file);
      const args = [`--config=${config}`, `--config-include-path=${keys}`, "--stanza=main", "recover", "--dry-run"];
      expect((await asRoot(args)).exitCode).toBe(88);
      writeFileSync(file, "[global]\nrepo1-s3-key=x\nrepo1-cipher-pass=x\n");
      expect((await asRoot(args)).stdout).not.toContain("[088]");
    }, 60_000);
  });

  test.each(VERBS.filter((verb) => !SERVING.includes(verb)))(
    "%s leaves no file of root's in the account's directories, and is refused where it would",
    async (verb) => {
      const at = (name: string): string => join(folder, name);
      for (const name of ["repo", "spool", "log", "data", "sockets"]) directory(at(name), postgres, 0o750);
      const config = at("pgbackrest.conf");
      const text = `[global]
repo1-path=${at("repo")}
repo1-retention-full=1
repo2-path=${at("repo")}2
repo2-retention-full=1
lock-path=${at("state/lock")}
spool-path=${at("spool")}
log-path=${at("log")}
${SHORT}
[main]
pg1-path=${at("data")}
pg1-socket-path=${at("sockets")}
`;
      writeFileSync(config, text);
      directory(at("repo2"), postgres, 0o750);
      const { exitCode, stderr, stdout } = await asRoot([`--config=${config}`, "--stanza=main", ...argumentsOf(verb)]);
      expect(stdout).not.toMatch(MISUSED);
      const left = [folder].flatMap((root) =>
        readdirSync(root, { recursive: true, encoding: "utf8" }).filter(
          (name) => lstatSync(join(root, name)).uid === 0,
        ),
      );
      expect(left, `${stdout}${stderr}`).toEqual(["pgbackrest.conf"]);
      if (exitCode === 31) expect(stdout).toContain(`sudo -u ${postgres.name} `);
    },
    60_000,
  );

  test("commands without the cluster know its account by pg1-path, with repositories elsewhere", async () => {
    const data = directory(join(folder, "data"), postgres, 0o700);
    const config = join(folder, "pgbackrest.conf");
    const s3 = ["repo1-type=s3", "repo1-s3-bucket=bucket", "repo1-s3-endpoint=127.0.0.1", "repo1-s3-region=r"];
    const text = ["[global]", ...s3, "repo1-s3-key=k", "repo1-s3-key-secret=s", "repo1-retention-full=1"];
    writeFileSync(config, [...text, `lock-path=${folder}/lock`, "[main]", `pg1-path=${data}`, ""].join("\n"));
    for (const verb of ["expire", "stop", "start"]) {
      const { exitCode, stdout } = await asRoot([`--config=${config}`, "--stanza=main", verb]);
      expect({ verb, exitCode }, stdout).toEqual({ verb, exitCode: 31 });
      expect(stdout).toContain(`${verb} runs as root, but account ${postgres.name} owns '${data}'`);
    }
    // Without a stanza nothing but the lock path says whose they are.
    directory(join(folder, "lock"), postgres);
    const { exitCode, stdout } = await asRoot([`--config=${config}`, "stop"]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 31, stdout: expect.stringContaining(`owns '${folder}/lock'`) });
  });
});
