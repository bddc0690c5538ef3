/** `PostgresHost` on the real engine: PostgreSQL 18, a directory and a bucket as repositories, the runtime of this package. */
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LocalOutputs, LocalSettings } from "../../examples/local/program";
import { loadExample, openStack } from "../../tools/parts/pulumiEngine";
import { LocalHost } from "./localHost";

let host: LocalHost;
let program: (settings: LocalSettings) => LocalOutputs;
const said: string[] = [];
const onOutput = (text: string): void => {
  said.push(text);
};

beforeAll(async () => {
  host = await LocalHost.create();
  ({ program } = await loadExample<{ program: (settings: LocalSettings) => LocalOutputs }>(host.place, "local"));
});
afterAll(() => host?.remove());

const open = (settings = host.settings()) => openStack(host.place, "test", async () => program(settings));

test("the preview shows every file before anything is there", async () => {
  const stack = await open();
  const { stdout, changeSummary } = await stack.preview({ onOutput, diff: true });
  console.log(stdout);
  expect(changeSummary).toEqual({ create: 7 });
  expect(existsSync(host.path("etc"))).toBe(false);
});

test("an update", async () => {
  const stack = await open();
  const { stdout, outputs } = await stack.up({ onOutput });
  console.log(stdout, outputs);
});
