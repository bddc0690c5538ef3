/** Options that name a file to read: a missing, closed or unusable one ends with its name and what to do. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OPTIONS } from "../../runtime/config/options";
import { run } from "../../tools/parts/process";
import { giveTo, isRoot, type OsUser, serverUser } from "../../tools/parts/users";
import { findRuntime, type RuntimeProgram } from "../harness/real/runtimeCli";

interface Use {
  readonly args: readonly string[];
  /** Environment with which the option is used; `FILE` stands for the file. */
  readonly env?: Readonly<Record<string, string>>;
  /** Exit codes for a missing file, and for one that is there. */
  readonly codes: readonly [missing: number, unreadable: number];
  /** No message repeats the value, which may be a secret. */
  readonly isSecret?: true;
  /** Only root gets so far, and root may read any file. */
  readonly needsRoot?: true;
}

const S3 = ["--repo1-type=s3", "--repo1-s3-bucket=bucket", "--repo1-s3-endpoint=127.0.0.1", "--repo1-s3-region=r"];
const KEYS = { PGBACKREST_REPO1_S3_KEY: "k", PGBACKREST_REPO1_S3_KEY_SECRET: "s" };
const SFTP = [
  "--repo1-type=sftp",
  "--repo1-sftp-host=127.0.0.1",
  "--repo1-sftp-host-port=1",
  "--repo1-sftp-host-user=x",
  "--repo1-sftp-host-key-hash-type=sha1",
];
const NO_CHECK = "--repo1-sftp-host-key-check-type=none";
const CLONE = ["clone", "--at=/tmp/none-clone"];

/** Every option whose file is read, with a use of it. */
const READ: Readonly<Record<string, Use>> = {
  config: { args: ["info", "--config=FILE"], codes: [55, 41] },
  settings: { args: ["info", "--settings=FILE"], codes: [55, 41] },
  "mask-file": { args: [...CLONE, "--password-file=/dev/null", "--mask-file=FILE"], codes: [55, 41], needsRoot: true },
  "notify-file": { args: ["notify", "--event=failure", "--unit=a.service", "--notify-file=FILE"], codes: [55, 41] },
  "otlp-file": { args: ["metrics", "--otlp-file=FILE"], codes: [55, 41] },
  "password-file": { args: [...CLONE, "--password-file=FILE"], codes: [55, 41], needsRoot: true },
  "repo-gcs-key": {
    args: ["repo-ls", "--repo1-type=gcs", "--repo1-gcs-bucket=bucket"],
    env: { PGBACKREST_REPO1_GCS_KEY: "FILE" },
    codes: [31, 31],
    isSecret: true,
  },
  "repo-s3-process-cmd": {
    args: ["repo-ls", ...S3, "--repo1-s3-key-type=process", "--repo1-s3-process-cmd=FILE"],
    codes: [102, 102],
  },
  "repo-sftp-private-key-file": {
    args: ["repo-ls", ...SFTP, NO_CHECK, "--repo1-sftp-private-key-file=FILE"],
    codes: [41, 41],
  },
  "repo-storage-ca-file": { args: ["repo-ls", ...S3, "--repo1-storage-ca-file=FILE"], env: KEYS, codes: [41, 41] },
};

/** Files and directories that are written, searched or listened on, and those of a server that starts without them. */
const OTHERS = new Set([
  "agent-socket",
  "at",
  "bin-path",
  "cmd",
  "config-include-path",
  "config-path",
  "drill-path",
  "drill-secret-path",
  "kubernetes-account-path",
  "launcher",
  "library-path",
  "lock-path",
  "log-path",
  "move-to",
  "output-file",
  "pg-path",
  "pg-socket-path",
  "plugin-client-path",
  "plugin-heartbeat",
  "plugin-server-path",
  "plugin-socket",
  "report-password-file",
  "repo-path",
  "repo-sftp-known-host",
  "server-files",
  "share",
  "spool-path",
  "to-file",
  "upgraded-from",
]);

test("every option that can name a file is known here", () => {
  const rows = OPTIONS.filter(({ acted }) => acted);
  const naming = rows.filter(
    ({ name, type }) => type === "path" || /^(config|settings)$|-file$|-path$|cmd$|-key$|known-host$/.test(name),
  );
  const names = naming.map(({ name }) => name).filter((name) => !/^(log-level-file|repo-(azure|s3)-key)$/.test(name));
  expect(names.toSorted()).toEqual([...Object.keys(READ), ...OTHERS].toSorted());
});

describe("a file that cannot be read", () => {
  let runtime: RuntimeProgram;
  let user: OsUser;
  let folder: string;
  beforeAll(async () => {
    [runtime, user, folder] = [await findRuntime(), serverUser(), mkdtempSync(join(tmpdir(), "named-"))];
    chmodSync(folder, 0o755);
    mkdirSync(join(folder, "data/global"), { recursive: true });
    mkdirSync(join(folder, "directory"));
    writeFileSync(join(folder, "data/PG_VERSION"), "17\n");
    giveTo(join(folder, "data"), user);
    writeFileSync(join(folder, "closed"), "", { mode: 0o000 });
    const options = [`repo1-path=/r`, `lock-path=${folder}/lock`, "log-level-file=off", "io-timeout=2s"];
    writeFileSync(
      join(folder, "pgbackrest.conf"),
      `[global]\n${options.join("\n")}\n[main]\npg1-path=${folder}/data\n`,
    );
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const cases = Object.entries(READ).flatMap(([name, use]) =>
    (use.needsRoot === true ? ["missing", "directory"] : ["missing", "closed", "directory"]).map(
      (fault) => [name, fault, use] as const,
    ),
  );
  test.each(cases)("%s: %s", async (name, fault, { args, codes, env = {}, isSecret, needsRoot }) => {
    if (needsRoot === true && !isRoot()) return;
    const path = join(folder, fault);
    const filled = (text: string): string => text.replace("FILE", path);
    const config = args.includes("--config=FILE") ? [] : [`--config=${folder}/pgbackrest.conf`];
    const { exitCode, stderr, stdout } = await run(
      runtime.node,
      [runtime.file, "--stanza=main", ...config, ...args.map(filled)],
      {
        ...(needsRoot === true ? {} : { user }),
        cwd: "/",
        env: Object.fromEntries(Object.entries(env).map(([variable, value]) => [variable, filled(value)])),
        timeoutMs: 60_000,
      },
    );
    const said = stdout + stderr;
    expect(exitCode, said).toBe(codes[fault === "missing" ? 0 : 1]);
    if (isSecret === true) expect(said).not.toContain(path);
    else expect(said).toContain(path);
    if (fault !== "directory") expect(said, name).toContain("HINT: ");
  });
});
