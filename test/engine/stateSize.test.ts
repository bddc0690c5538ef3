/**
 * What a host has in a stack's state. Clusters: `test/kubernetes/content.test.ts`, with the real
 * provider.
 */
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

// claim: docs/kubernetes/runtime.md: the state of fifty…
test("a host adds little to the state", async () => {
  const { folder } = host.programFolder;
  const { program } = await loadExample<{ program: (settings: LocalSettings) => LocalOutputs }>(
    host.programFolder,
    "local",
  );
  const open = (name: string, run: () => Promise<object | undefined>): Promise<Stack> =>
    openStack(host.programFolder, name, async () => (await run()) ?? {});
  // What a program exports is its own.
  const stack = await open("host", async () => void program(host.settings()));
  await stack.up();
  const whole = stateBytes(folder, "host");
  const bytes = stateBytes(folder, "host", (urn) => urn.includes("PostgresHost"));
  console.info(`state of a host ${kilobytes(bytes)}; with its two repositories and a passphrase ${kilobytes(whole)}`);
  await stack.destroy();
  expect(bytes).toBeLessThan(STATE_BUDGET.host);
  expect(whole).toBeLessThan(STATE_BUDGET.hostStack);
});
