/**
 * What hosts and dynamic resources have in a stack's state. Clusters: `test/kubernetes/content.test.ts`, with the real
 * provider.
 */
import * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Passphrase } from "../../components/dynamic/passphrase";
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

/** They captured nothing but Node.js. */
const earlierMethods: pulumi.dynamic.ResourceProvider<{ sizeBytes: number }, { passphrase: string }> = {
  create: async ({ sizeBytes }) => {
    const { randomBytes, randomUUID } = require("node:crypto") as typeof import("node:crypto");
    return { id: randomUUID(), outs: { passphrase: randomBytes(sizeBytes).toString("base64") } };
  },
  diff: async () => ({ changes: false }),
};

/** As earlier versions declared it: the SDK found out what its methods capture. */
class EarlierPassphrase extends pulumi.dynamic.Resource {
  declare readonly passphrase: pulumi.Output<string>;

  constructor(name: string) {
    const inputs = { sizeBytes: 48, passphrase: undefined };
    super(earlierMethods, name, inputs, { additionalSecretOutputs: ["passphrase"] }, "index", "Passphrase");
  }
}

test("a dynamic resource of an earlier version shows no change, and keeps what it made", async () => {
  const open = (declare: () => Pick<Passphrase, "passphrase">): Promise<Stack> =>
    openStack(host.programFolder, "earlier", async () => ({ passphrase: declare().passphrase }));
  const before = await (await open(() => new EarlierPassphrase("key"))).up();
  const stack = await open(() => new Passphrase("key", { sizeBytes: 48 }, {}));
  expect(Object.keys((await stack.preview()).changeSummary)).toEqual(["same"]);
  const after = await stack.up();
  expect(Object.keys(after.summary.resourceChanges ?? {})).toEqual(["same"]);
  await stack.refresh();
  expect(after.outputs).toEqual(before.outputs);
  await stack.destroy();
});
