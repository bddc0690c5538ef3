/** A host whose PostgreSQL may not be restarted by an update: what is done at once, what waits, and what the user is told. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LocalOutputs, LocalSettings } from "../../examples/local/program";
import { loadExample, openStack } from "../../tools/parts/pulumiEngine";
import { LocalHost } from "./localHost";

let host: LocalHost;
let program: (settings: LocalSettings) => LocalOutputs;

beforeAll(async () => {
  host = await LocalHost.create();
  ({ program } = await loadExample<{ program: (settings: LocalSettings) => LocalOutputs }>(host.place, "local"));
});
afterAll(() => host?.remove());

test("without allowRestart the update waits for the user's restart, and the next one goes on from there", async () => {
  const settings = host.settings({ allowRestart: false, restartCommand: [] });
  const stack = await openStack(host.place, "test", async () => program(settings));
  const first = await stack.up();
  expect(first.outputs.pendingRestart?.value).toBe(true);
  expect(first.outputs.firstBackup?.value).toBe("waiting");
  expect(first.stdout).toContain("archive_mode comes into force with the next restart of PostgreSQL");
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
