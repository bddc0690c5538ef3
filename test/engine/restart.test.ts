/**
 * A host whose PostgreSQL an update may not restart: what the update does at once, what waits, and what it reports to
 * the user.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LocalOutputs, LocalSettings } from "../../examples/local/program";
import { loadExample, openStack } from "../../tools/parts/pulumi/pulumiEngine";
import { LocalHost } from "./localHost";
import { NIGHTLY } from "../../tools/parts/nightly";

let host: LocalHost;
let program: (settings: LocalSettings) => LocalOutputs;

beforeAll(async () => {
  host = await LocalHost.create();
  ({ program } = await loadExample<{ program: (settings: LocalSettings) => LocalOutputs }>(
    host.programFolder,
    "local",
  ));
});
afterAll(() => host?.remove());

test("without allowRestart the update waits for the user's restart, and the next one continues from there", async () => {
  const settings = host.settings({ allowRestart: false, restartCommand: [] });
  const stack = await openStack(host.programFolder, "test", async () => program(settings));
  const first = await stack.up();
  expect(first.outputs.pendingRestart?.value).toBe(true);
  expect(first.outputs.firstBackup?.value).toBe("waiting");
  expect(first.stdout).toContain("archive_mode takes effect at the next restart of PostgreSQL");
  expect(host.restarts).toBe(0);
  expect(await host.cluster.value("SHOW archive_mode")).toBe("off");

  await host.cluster.restart();
  expect(await host.cluster.value("SHOW archive_mode")).toBe("on");
  const second = await stack.up();
  expect(second.outputs.pendingRestart?.value).toBe(false);
  expect(second.outputs.firstBackup?.value).toBe("taken");
  const third = await stack.up();
  expect(third.summary.resourceChanges).toEqual({ same: 7 });

  const gone = await stack.destroy();
  expect(gone.stdout).toContain("PostgreSQL keeps archive_mode on");
  expect(await host.cluster.value("SHOW archive_command")).toBe("");
});

test.runIf(NIGHTLY)("the program of Pulumi.yaml does the same, with the stack's configuration", async () => {
  const { bucket, dataDirectory, nasPath } = host.settings();
  const stack = await openStack(host.programFolder, "configured", () =>
    loadExample<LocalOutputs>(host.programFolder, "local", "index"),
  );
  const { name, endpoint, region, port, caFile } = bucket;
  const differing = JSON.stringify({ nodePath: host.nodePath });
  const plain = { dataDirectory, nasPath, bucket: name, endpoint, region, port, caFile, host: differing };
  for (const [key, value] of Object.entries(plain)) await stack.setConfig(key, { value: String(value) });
  const secrets = { accessKeyId: host.s3.accessKey, secretAccessKey: host.s3.secretKey };
  for (const [key, value] of Object.entries(secrets)) await stack.setConfig(key, { value, secret: true });
  const { changeSummary, stdout } = await stack.preview({ diff: true });
  expect(changeSummary).toEqual({ create: 7 });
  expect(stdout).toContain("/etc/pgbackstop/pgbackrest.conf");
  expect(stdout).toContain("/etc/systemd/system/pgbackstop-main-full.timer");
  expect(stdout).not.toContain(host.s3.secretKey);
});
