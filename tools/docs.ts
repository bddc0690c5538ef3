/** `npm run docs [-- --all]`: writes generated files that `npm run check` compares; --all: also those of a release. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CNPG_SPEC, renderCnpgSpec } from "./docs/cnpgSpec";
import { AT_RELEASE, COMPARED } from "./docs/pages";
import { projectFolder } from "./parts/cache";
import { findManifests } from "./parts/kubernetes/kubernetesManifests";

async function main(): Promise<void> {
  const write = (path: string, text: string): void => writeFileSync(join(projectFolder(), path), text);
  const manifests = await findManifests();
  // The others are made from it.
  if ("missing" in manifests) process.stdout.write(`${CNPG_SPEC} stays as it is: ${manifests.missing}\n`);
  else write(CNPG_SPEC, renderCnpgSpec(manifests.definitions));
  const isAll = process.argv.includes("--all");
  for (const [path, render] of Object.entries({ ...COMPARED, ...(isAll ? AT_RELEASE : {}) })) write(path, render());
}

void main();
