/**
 * The demo's stack: `examples/local` through the Automation API with the real engine, state in the demo's own folder.
 */
import { mkdirSync } from "node:fs";
import type { Stack, UpdateSummary } from "@pulumi/pulumi/automation";
import type { LocalOutputs, LocalSettings } from "../../examples/local/program";
import { loadExample, openStack, prepareProgramFolder } from "../parts/pulumi/pulumiEngine";
import type { PulumiCli } from "../parts/pulumi/pulumiCli";

/** Progress of `up` and `destroy`: one line for each relevant event. */
export type Print = (text: string) => void;

export async function makeStack(cli: PulumiCli, folder: string, settings: LocalSettings): Promise<Stack> {
  mkdirSync(folder);
  const programFolder = await prepareProgramFolder(folder, { cli, passphrase: "demo" });
  const { program } = await loadExample<{ program: (settings: LocalSettings) => LocalOutputs }>(programFolder, "local");
  return openStack(programFolder, "demo", async () => program(settings));
}

/** `pulumi up`; `say` gets resources, the runtime's log lines, and a bar during the first backup. */
export async function up(stack: Stack, print: Print): Promise<Record<string, unknown>> {
  const result = await stack.up({
    onEvent: (event) => {
      const done = event.resOutputsEvent?.metadata;
      if (done !== undefined && done.op !== "same" && done.type !== "pulumi:pulumi:Stack")
        print(`${done.op} ${done.type.split(":").at(-1)} ${nameOf(done.urn)}`);
      for (const line of event.diagnosticEvent?.message.split("\n") ?? []) {
        const text = /P\d\d +(?:INFO|WARN|ERROR): (.*)$/.exec(line)?.[1];
        if (text !== undefined) print(copyBar(text) ?? text);
      }
    },
  });
  print(changesOf(result.summary));
  return Object.fromEntries(
    Object.entries(result.outputs).map(([name, output]) => [name, output.secret ? "[secret]" : output.value]),
  );
}

/** The runtime's progress line as a bar: `copied 70.2MB of 74.2MB (94.66%), 8.3MB/s`. */
function copyBar(text: string): string | null {
  const match = /^copied (\S+) of (\S+) \(([\d.]+)%\), (\S+)\/s$/.exec(text);
  if (match === null) return null;
  const [, done = "", total = "", percent = "", rate = ""] = match;
  const filled = Math.round((Number(percent) / 100) * BAR_WIDTH);
  const leftS = bytesOf(rate) > 0 ? (bytesOf(total) - bytesOf(done)) / bytesOf(rate) : 0;
  return `first backup [${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)}] ${done} of ${total}, ${rate}/s, ${leftS.toFixed(0)} s left`;
}

const BAR_WIDTH = 24;

/** Bytes of the runtime's own size texts: `512B`, `70.2MB` (powers of 1024). */
export function bytesOf(text: string): number {
  const match = /^([\d.]+)([KMGTP]?)B$/.exec(text);
  return match === null ? 0 : Number(match[1]) * 1024 ** " KMGTP".indexOf(match[2] || " ");
}

export async function destroy(stack: Stack, print: Print): Promise<void> {
  const { summary } = await stack.destroy({
    onEvent: (event) => {
      const done = event.resOutputsEvent?.metadata;
      if (done?.op === "delete" && done.type !== "pulumi:pulumi:Stack")
        print(`delete ${done.type.split(":").at(-1)} ${nameOf(done.urn)}`);
    },
  });
  print(changesOf(summary));
}

function changesOf({ resourceChanges }: UpdateSummary): string {
  return Object.entries(resourceChanges ?? {})
    .map(([op, count]) => `${count} ${op}`)
    .join(", ");
}

function nameOf(urn: string): string {
  return urn.slice(urn.lastIndexOf("::") + 2);
}
