/**
 * Backs up a small real cluster into an existing bucket, below an empty prefix: doctor, stanza, check, full backup,
 * WAL, increment, verify, and a restore that is compared row for row. The prefix is always emptied at the end.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { findRuntime, type RuntimeProgram, writeConfig } from "../../test/harness/real/runtimeCli";
import { ensurePostgres } from "../parts/postgres/postgres";
import { onEnd, run } from "../parts/process";
import { compareChecksums, TestCluster } from "../parts/postgres/testCluster";
import { giveTo, makeUserFolder, reachable } from "../parts/users";
import type { BucketAccess } from "./accounts";

export type Print = (line: string) => void;

const STANZA = "live";
const ROWS = 20_000;
const RECOVERY_TIMEOUT_MS = 300_000;

/** @throws Error with the runtime's output for a failed step */
export async function tryData(access: BucketAccess, print: Print): Promise<void> {
  const folder = makeUserFolder("pgb-live-");
  const runtime = await findRuntime();
  const archive = `${runtime.node} ${runtime.file} --config-path=${join(folder, "config")} --stanza=${STANZA} archive-push %p # pgbackrest`;
  const source = await TestCluster.create({
    binaries: await ensurePostgres(),
    folder: join(folder, "pg"),
    settings: { archive_mode: "on", archive_command: archive },
  });
  const forget = onEnd(async () => {
    await source.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  const prefix = access.path ?? `/pgbackstop-live-${randomBytes(6).toString("hex")}`;
  writeBucketConfig(folder, access, prefix, source);
  const host = { runtime, folder, source, print };
  print(`${access.name}: everything below s3://${access.bucket}${prefix}`);
  try {
    await call(host, ["doctor"], { shown: true });
    await source.start();
    try {
      await backUp(host);
      await restore(host);
    } finally {
      await source.stop("fast");
      await cleanUp(host);
    }
  } finally {
    forget();
    await source.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface LiveHost {
  readonly runtime: RuntimeProgram;
  readonly folder: string;
  readonly source: TestCluster;
  readonly print: Print;
}

function writeBucketConfig(folder: string, access: BucketAccess, prefix: string, source: TestCluster): void {
  for (const name of ["lock", "log", "spool", "config", "restored"]) {
    mkdirSync(join(folder, name));
    giveTo(join(folder, name), source.user);
  }
  const global = {
    "lock-path": join(folder, "lock"),
    "log-path": join(folder, "log"),
    "spool-path": join(folder, "spool"),
    "start-fast": "y",
    "repo1-type": "s3",
    "repo1-path": prefix,
    "repo1-s3-bucket": access.bucket,
    "repo1-s3-endpoint": access.endpoint,
    "repo1-s3-region": access.region,
    "repo1-s3-uri-style": "path",
    "repo1-storage-port": String(access.port),
    "repo1-storage-ca-file": access.caFile === undefined ? null : reachable(access.caFile, source.user),
    "repo1-bundle": "y",
    "repo1-retention-full": "1",
    "repo1-cipher-type": "aes-256-cbc",
    "repo1-cipher-pass": randomBytes(32).toString("hex"),
    "repo1-s3-key": access.keyId,
    "repo1-s3-key-secret": access.key,
  };
  const stanza = {
    "pg1-path": source.dataPath,
    "pg1-socket-path": source.socketPath,
    "pg1-port": String(source.port),
    "pg1-user": source.superuser,
  };
  writeConfig(
    join(folder, "config"),
    STANZA,
    { global, stanza, settings: { version: 1, acknowledge: "all" } },
    source.user,
  );
}

async function backUp(host: LiveHost): Promise<void> {
  const { source } = host;
  await source.sql(`CREATE TABLE orders AS SELECT id, md5(id::text) AS text FROM generate_series(1, ${ROWS}) AS id`);
  await call(host, ["stanza-create"]);
  await call(host, ["check", "--no-full-check"]);
  await call(host, ["backup", "--type=full"]);
  await source.sql(`INSERT INTO orders SELECT id, md5(id::text) FROM generate_series(${ROWS + 1}, ${2 * ROWS}) AS id`);
  await call(host, ["backup", "--type=incr"]);
  // After the last backup, so only WAL has it.
  await source.sql("UPDATE orders SET text = 'replayed' WHERE id % 1000 = 0");
  await source.switchWal();
  await call(host, ["check"]);
  await call(host, ["verify"]);
}

async function restore(host: LiveHost): Promise<void> {
  const { folder, print, source } = host;
  const expected = await source.tableChecksums();
  const dataPath = join(folder, "restored", "data");
  await call(host, [`--pg1-path=${dataPath}`, "--archive-mode=off", "restore"]);
  const restored = TestCluster.adopt({ binaries: source.binaries, dataPath });
  try {
    await restored.start();
    await restored.waitForValue("SELECT pg_is_in_recovery()::text", "false", RECOVERY_TIMEOUT_MS);
    const differences = compareChecksums(expected, await restored.tableChecksums());
    if (differences.length > 0) throw new Error(`the restored cluster differs:\n${differences.join("\n")}`);
    print(`  ok   compare: ${expected.size} tables are equal row for row`);
  } finally {
    await restored.remove();
  }
}

/** Old versions stay until the bucket's rules remove them. */
async function cleanUp(host: LiveHost): Promise<void> {
  await call(host, ["stop"]);
  await call(host, ["stanza-delete", "--repo=1", "--force"]);
  const left = await call(host, ["repo-ls", "--repo=1", "--recurse"]);
  const files = left.split("\n").filter((line) => line.trim() !== "");
  host.print(
    files.length === 0
      ? "  ok   cleanup: nothing is left below the prefix"
      : `  WARN cleanup: ${files.length} left below the prefix: ${files.join(", ")}`,
  );
}

async function call(
  host: LiveHost,
  args: readonly string[],
  options: { readonly shown?: boolean } = {},
): Promise<string> {
  const { folder, print, runtime, source } = host;
  const argv = [runtime.file, `--config-path=${join(folder, "config")}`, `--stanza=${STANZA}`, ...args];
  const beganAtMs = performance.now();
  const { exitCode, stderr, stdout } = await run(runtime.node, argv, { user: source.user, cwd: folder });
  const what = args.find((argument) => !argument.startsWith("--")) ?? "";
  if (options.shown === true) print(stdout.trimEnd());
  if (exitCode !== 0)
    throw new Error(`${what}: exit code ${exitCode}\n${options.shown === true ? "" : stdout}${stderr}`);
  print(
    `  ok   ${args.filter((argument) => !argument.includes(folder)).join(" ")} (${((performance.now() - beganAtMs) / 1000).toFixed(1)} s)`,
  );
  return stdout;
}
