/** The Pulumi CLI at hand runs an inline program without a language host. */
import { mkdtempSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { InlineProgramArgs, LocalWorkspace } from "@pulumi/pulumi/automation";
import { expect, test } from "vitest";
import { projectFolder } from "../../tools/parts/cache";
import { findPulumiCli } from "../../tools/parts/pulumiCli";

test("up and destroy of a program without resources", async (context) => {
  const cli = (await findPulumiCli()) ?? context.skip("there is no Pulumi CLI: npm test -- --all builds it");
  // The engine looks for its node packages above the working directory.
  const folder = mkdtempSync(join(projectFolder(), "node_modules", ".cache", "pulumi-"));
  try {
    const program: InlineProgramArgs = { stackName: "test", projectName: "parts", program: async () => ({ answer: 42 }) };
    const stack = await LocalWorkspace.createOrSelectStack(program, {
      workDir: folder,
      projectSettings: { name: "parts", runtime: "nodejs", backend: { url: `file://${folder}` } },
      envVars: { PATH: `${dirname(cli.path)}:${process.env.PATH}`, PULUMI_CONFIG_PASSPHRASE: "test", PULUMI_SKIP_UPDATE_CHECK: "true" },
    });
    const result = await stack.up();
    expect(result.outputs.answer).toEqual({ value: 42, secret: false });
    await stack.destroy();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
