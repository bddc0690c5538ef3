/**
 * `node run.js ACTION` runs the program on the engine with the settings in settings.json, and prints one JSON object at
 * the end.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { LocalWorkspace, PulumiCommand } from "@pulumi/pulumi/automation";
import { type PlatformArgs, program } from "./program";

async function main(action: string): Promise<unknown> {
  const args = JSON.parse(readFileSync(join(__dirname, "settings.json"), "utf8")) as PlatformArgs;
  const stack = await LocalWorkspace.createOrSelectStack(
    { stackName: "dev", projectName: "acme", program: async () => program(args) },
    {
      workDir: __dirname,
      pulumiCommand: await PulumiCommand.get({ root: join(__dirname, "cli"), skipVersionCheck: true }),
    },
  );
  if (action === "preview") {
    const { changeSummary, stdout, stderr } = await stack.preview({ diff: true });
    return { changes: changeSummary, stdout, stderr };
  }
  if (action === "destroy") {
    const { summary, stdout } = await stack.destroy();
    return { changes: summary.resourceChanges, stdout };
  }
  const { summary, stdout, outputs } = await stack.up();
  const values = Object.fromEntries(Object.entries(outputs).map(([name, output]) => [name, output.value as unknown]));
  return { changes: summary.resourceChanges, stdout, outputs: values };
}

main(process.argv[2] ?? "preview").then(
  (result) => process.stdout.write(`\n${JSON.stringify(result)}\n`),
  (error: unknown) => process.stdout.write(`\n${JSON.stringify({ error: String(error) })}\n`),
);
