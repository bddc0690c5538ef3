/**
 * `npm run demo`: all of pgbackstop on real parts, from scratch: PostgreSQL with data, a NAS directory and an S3
 * bucket, one `pulumi up`, one backup into both, an outage and its healing, a restore from the second repository that
 * is compared row by row. Options: `--rows=N` scales the data (default 1,000,000, a little over 300 MB), `--keep` keeps
 * everything and says how to look around.
 */
// claim: README.md: `npm run demo` from nothing (PostgreSQL 18, s3rver over TLS and Pulumi's engine are real)
import { chmodSync, cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Stack } from "@pulumi/pulumi/automation";
import type { LocalSettings } from "../../examples/local/program";
import { build } from "../parts/build/build";
import { ensurePostgres, type PostgresBinaries } from "../parts/postgres/postgres";
import { cleanUp, onEnd } from "../parts/process";
import { createProgress, formatBytes, type Progress } from "../parts/progress";
import { ensurePulumiCli } from "../parts/pulumi/pulumiCli";
import { S3Server } from "../parts/servers/s3Server";
import { giveTo, makeUserFolder, reachable, serverUser } from "../parts/users";
import { databaseBytes, fillSteps } from "./data";
import { archiveMore, outageAndHealing } from "./journey";
import { printLookAround, printTable } from "./report";
import { restoreAndCompare } from "./restored";
import { Runtime } from "./runtime";
import { type DemoServer, startServer } from "./server";
import { destroy, makeStack, up } from "./stack";

const DISK_BYTES_PER_ROW = 2500;

async function demo(): Promise<void> {
  const { rows, keep } = parseOptions();
  const beganAtMs = performance.now();
  const progress = createProgress();
  const disk = formatBytes(rows * DISK_BYTES_PER_ROW);
  progress.line(
    `pgbackstop demo: one PostgreSQL, two verified repositories (${rows.toLocaleString("en")} rows, needs about ${disk} of disk)`,
  );
  const folder = makeUserFolder("pgbackstop-demo-");
  chmodSync(folder, 0o755);
  if (!keep) onEnd(() => rmSync(folder, { recursive: true, force: true }));

  progress.line("\n1. Requirements");
  // The engine may need a build, which runs while the data are generated.
  const engine = prepareEngine(progress);
  engine.catch(() => {});
  await build(progress);
  const binaries = await progress.step("PostgreSQL", async (note) => {
    const result = await ensurePostgres();
    note(result.version);
    return result;
  });

  progress.line("\n2. A PostgreSQL with data, and an S3 server");
  const server = await startWithData(progress, binaries, join(folder, "postgres"), rows);
  const bucket = await progress.step("S3 server over TLS", () =>
    S3Server.create({ kind: "s3rver", folder: join(folder, "s3") }),
  );
  onEnd(() => bucket.stop());
  const cli = await engine;

  progress.line("\n3. pulumi up (examples/local)");
  const settings = localSettings(folder, server, bucket);
  const stack = await makeStack(cli, join(folder, "pulumi"), settings);
  await upTwice(progress, stack);

  const runtime = new Runtime(server.cluster, join(folder, "host"), reachable(process.execPath, serverUser()));
  progress.line("\n4. WAL into both, an outage of one, and its healing");
  await archiveMore(progress, server.cluster, runtime);
  const outage = await outageAndHealing(progress, server.cluster, runtime, bucket);

  progress.line("\n5. Restore from repo2 into a separate directory, replay, compare");
  const restored = await restoreAndCompare(progress, server.cluster, runtime, join(folder, "restored"));

  progress.line("\n6. Result");
  await printTable(progress, runtime, { restored, outage });
  if (keep) {
    printLookAround(progress, folder, runtime, server.cluster, bucket, cli.path);
    await new Promise<void>((resolve) => process.once("SIGINT", () => resolve()));
    return;
  }
  progress.line("\n7. Clean up");
  await takeDown(progress, stack, server, bucket, folder);
  progress.line(`\nDone in ${((performance.now() - beganAtMs) / 1000).toFixed(0)} s.`);
}

function parseOptions(): { readonly rows: number; readonly keep: boolean } {
  const { values } = parseArgs({
    options: { rows: { type: "string", default: "1000000" }, keep: { type: "boolean", default: false } },
  });
  const rows = Number(values.rows.replaceAll("_", ""));
  if (!Number.isInteger(rows) || rows < 1000)
    throw new Error(`--rows=${values.rows}: give a whole number of at least 1000`);
  return { rows, keep: values.keep };
}

async function startWithData(
  progress: Progress,
  binaries: PostgresBinaries,
  folder: string,
  rows: number,
): Promise<DemoServer> {
  const server = await progress.step("initdb and start", () => startServer(binaries, folder));
  for (const step of fillSteps(server.cluster, folder, rows)) {
    await progress.step(step.title, () => server.cluster.sql(step.sql, [], step.database));
  }
  const databases = await server.cluster.value("SELECT count(*) FROM pg_database WHERE datallowconn");
  progress.line(`    ${formatBytes(await databaseBytes(server.cluster))} in ${databases} databases`);
  return server;
}

async function upTwice(progress: Progress, stack: Stack): Promise<void> {
  const outputs = await progress.step("pulumi up", (note) => up(stack, note));
  const timers = outputs.timersEnabled === true ? "enabled" : "written, not enabled (systemd is not running here)";
  progress.line(`    first backup: ${String(outputs.firstBackup)}; timers: ${timers}`);
  const changes = await progress.step("pulumi up again", async (note) => {
    const result = (await stack.up()).summary.resourceChanges ?? {};
    note(
      Object.entries(result)
        .map(([op, count]) => `${count} ${op}`)
        .join(", "),
    );
    return result;
  });
  if (Object.keys(changes).some((op) => op !== "same"))
    throw new Error(`a second up must change nothing, but it did: ${JSON.stringify(changes)}`);
}

async function takeDown(
  progress: Progress,
  stack: Stack,
  server: DemoServer,
  bucket: S3Server,
  folder: string,
): Promise<void> {
  await progress.step("pulumi destroy", (note) => destroy(stack, note));
  const after = await server.cluster.value("SELECT current_setting('archive_command')");
  const setting = after === "" || after === "(disabled)" ? "its default" : `'${after}'`;
  progress.line(`    archive_command is back to ${setting}; the repositories are untouched until the folder goes`);
  await progress.step("PostgreSQL stops", () => server.stop("fast"));
  await progress.step("S3 server and folder", async () => {
    await bucket.stop();
    rmSync(folder, { recursive: true, force: true });
  });
}

function prepareEngine(progress: Progress): ReturnType<typeof ensurePulumiCli> {
  return ensurePulumiCli((text) => progress.line(`  … Pulumi CLI: ${text}`)).then((cli) => {
    progress.line(`  ✓ Pulumi CLI  ${cli.version} (${cli.source})`);
    return cli;
  });
}

function localSettings(folder: string, server: DemoServer, bucket: S3Server): LocalSettings {
  const { cluster } = server;
  const user = serverUser();
  const nas = join(folder, "nas");
  const host = join(folder, "host");
  for (const path of [nas, host]) {
    mkdirSync(path, { recursive: true });
    giveTo(path, user);
  }
  // Readable for the database's account.
  const caFile = join(host, "s3-ca.pem");
  cpSync(bucket.caFile, caFile);
  chmodSync(caFile, 0o644);
  return {
    dataDirectory: cluster.dataPath,
    nasPath: nas,
    protect: false,
    bucket: {
      name: bucket.bucket,
      endpoint: bucket.host,
      port: bucket.port,
      region: bucket.region,
      caFile,
      accessKeyId: bucket.accessKey,
      secretAccessKey: bucket.secretKey,
    },
    host: {
      port: cluster.port,
      socketDirectory: cluster.socketPath,
      databaseUser: cluster.superuser,
      user: user.name,
      stanza: "demo",
      nodePath: reachable(process.execPath, user),
      processMax: 2,
      acknowledge: { mode: "any" },
      allowRestart: true,
      restartCommand: [...server.restartCommand],
      directories: {
        config: join(host, "etc"),
        lib: join(host, "lib"),
        units: join(host, "units"),
        lock: join(host, "lock"),
        spool: join(host, "spool"),
        log: join(host, "log"),
      },
    },
  };
}

async function main(): Promise<void> {
  try {
    await demo();
  } catch (error) {
    process.stderr.write(
      `\nThe demo failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exitCode = 1;
  }
  await cleanUp();
  process.exit();
}

void main();
