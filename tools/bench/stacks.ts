/**
 * Costs of stacks with many databases: `topology diff` of two of them, and the program that declares one, with mocks in
 * place of Pulumi's engine.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { projectFolder } from "../parts/cache";
import { ensureNode } from "../parts/nodeBinary";
import type { Growth } from "./growth";
import { measure } from "./measure";
import { OUR_DATABASES, REPOSITORIES } from "./stackPrograms";
import { diffArgv, exportOf } from "./topology";

const SAMPLE_MS = 50;

/** A program of as many databases as its argument says; fails unless it registers more resources than that. */
const PROGRAM = `${OUR_DATABASES}
const pulumi = require("@pulumi/pulumi");
const databases = Number(process.argv[2]);
let resources = 0;
const newResource = ({ inputs, name }) => {
  resources++;
  return { id: name, state: inputs };
};
process.on("exit", () => {
  if (resources <= databases) process.exitCode = 1;
});
const mocks = { newResource, call: () => ({}) };
pulumi.runtime.setMocks(mocks, "shop", "prod", true).then(() => declare(databases));
`;

export async function measureStacks(
  sizes: readonly number[],
  growth: Growth,
  note: (text: string) => void,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "pgb-bench-"));
  try {
    const modules = join(folder, "node_modules");
    mkdirSync(modules);
    symlinkSync(projectFolder(), join(modules, "pgbackstop"));
    symlinkSync(join(projectFolder(), "node_modules", "@pulumi"), join(modules, "@pulumi"));
    const program = join(folder, "program.cjs");
    writeFileSync(program, PROGRAM);
    const [before, after] = [join(folder, "before.json"), join(folder, "after.json")];
    const node = await ensureNode();
    const { gid, uid, username } = userInfo();
    const options = { user: { name: username, uid, gid, group: "" }, cwd: folder, sampleMs: SAMPLE_MS };
    for (const databases of sizes) {
      note(`${databases}: topology diff`);
      // Every database gets a longer retention and a further repository: nothing is refused.
      writeFileSync(before, exportOf(databases, REPOSITORIES - 1, 30));
      writeFileSync(after, exportOf(databases, REPOSITORIES, 60));
      growth.add("databases diff", "ours", databases, await measure(node, diffArgv(folder, before, after), options));
      note(`${databases}: program`);
      growth.add("databases program", "ours", databases, await measure(node, [program, String(databases)], options));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
