/**
 * `node run.js ACTION PROGRAM` runs a program on the engine with the settings in settings.json, and prints one JSON
 * object at the end.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { LocalWorkspace, PulumiCommand, type Stack } from "@pulumi/pulumi/automation";

type Program = (args: unknown) => Record<string, unknown>;

/** A resource in the state, with the names of what it belongs to. */
interface Stored {
  readonly urn: string;
  readonly custom: boolean;
  readonly provider?: string;
}

/** Programs of the documents, which take the default providers. */
const DOCUMENTED = "docs";

async function open(name: string): Promise<Stack> {
  const args: unknown = JSON.parse(readFileSync(join(__dirname, "settings.json"), "utf8"));
  // A program without a function makes its resources while it is loaded.
  const run = async (): Promise<Record<string, unknown>> => {
    const { program } = (await import(`./${name}.js`)) as { program?: Program };
    return program?.(args) ?? {};
  };
  const isDocumented = name.startsWith(DOCUMENTED);
  const stack = await LocalWorkspace.createOrSelectStack(
    { stackName: isDocumented ? DOCUMENTED : "dev", projectName: name, program: run },
    {
      workDir: __dirname,
      projectSettings: { name, runtime: "nodejs" },
      secretsProvider: process.env["SECRETS_PROVIDER"] ?? "passphrase",
      pulumiCommand: await PulumiCommand.get({ root: join(__dirname, "cli"), skipVersionCheck: true }),
    },
  );
  // The program names a provider for each object, so none may take the default one.
  if (!isDocumented) await stack.setConfig("pulumi:disable-default-providers[0]", { value: "kubernetes" }, true);
  return stack;
}

async function main(action: string, name: string): Promise<unknown> {
  const stack = await open(name);
  if (action === "preview") {
    const policyPacks = process.env["POLICY_PACK"];
    const { changeSummary, stdout, stderr } = await stack.preview({
      diff: true,
      ...(policyPacks === undefined ? {} : { policyPacks: [policyPacks] }),
    });
    return { changes: changeSummary, stdout, stderr };
  }
  if (action === "destroy") {
    const { summary, stdout } = await stack.destroy();
    return { changes: summary.resourceChanges, stdout };
  }
  const { summary, stdout, stderr, outputs } = await stack.up();
  const values = Object.fromEntries(Object.entries(outputs).map(([key, output]) => [key, output.value as unknown]));
  const secrets = Object.keys(outputs).filter((key) => outputs[key]?.secret);
  const { deployment } = (await stack.exportStack()) as { deployment: { resources?: readonly Stored[] } };
  const resources = (deployment.resources ?? []).filter(({ custom }) => custom);
  return {
    changes: summary.resourceChanges,
    stdout,
    stderr,
    outputs: values,
    secrets,
    providers: Object.fromEntries(resources.map(({ provider = "", urn }) => [urn.split("::").at(-1), provider])),
  };
}

const [action = "preview", program = "platform"] = process.argv.slice(2);
main(action, program).then(
  (result) => process.stdout.write(`\n${JSON.stringify(result)}\n`),
  (error: unknown) => process.stdout.write(`\n${JSON.stringify({ error: String(error) })}\n`),
);
