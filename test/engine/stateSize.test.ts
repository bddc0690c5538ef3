/** What a host adds to a stack's state. Clusters: `test/kubernetes/content.test.ts`, with the real provider. */
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LocalOutputs, LocalSettings } from "../../examples/local/program";
import { loadExample, openStack } from "../../tools/parts/pulumi/pulumiEngine";
import { kilobytes, STATE_BUDGET, stateBytes } from "../harness/stateBudget";
import { LocalHost } from "./localHost";

let host: LocalHost;

beforeAll(async () => {
  host = await LocalHost.create();
});
afterAll(() => host?.remove());

test("a host adds little to the state", async () => {
  const { folder } = host.programFolder;
  const { program } = await loadExample<{ program: (settings: LocalSettings) => LocalOutputs }>(
    host.programFolder,
    "local",
  );
  const open = (name: string, run: () => Promise<object | undefined>): Promise<Stack> =>
    openStack(host.programFolder, name, async () => (await run()) ?? {});
  await (await open("empty", async () => undefined)).up();
  const stack = await open("host", async () => program(host.settings()));
  await stack.up();
  const bytes = stateBytes(folder, "host") - stateBytes(folder, "empty");
  console.info(`state of a host with two repositories: ${kilobytes(bytes)}`);
  await stack.destroy();
  expect(bytes).toBeLessThan(STATE_BUDGET.host);
});
