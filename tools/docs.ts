/** `npm run docs`: writes docs/reference, the operator's types, and the arguments' types as data. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CNPG_SPEC, renderCnpgSpec } from "./docs/cnpgSpec";
import { MADE_FILES, PAGES } from "./docs/pages";
import { projectFolder } from "./parts/cache";
import { findManifests } from "./parts/kubernetes/kubernetesManifests";

async function main(): Promise<void> {
  const write = (path: string, text: string): void => writeFileSync(join(projectFolder(), path), text);
  const manifests = await findManifests();
  // The others are made from it.
  if ("missing" in manifests) process.stdout.write(`${CNPG_SPEC} stays as it is: ${manifests.missing}\n`);
  else write(CNPG_SPEC, renderCnpgSpec(manifests.definitions.cnpg));
  for (const [name, render] of Object.entries(PAGES)) write(join("docs", "reference", name), render());
  for (const [path, render] of Object.entries(MADE_FILES)) write(path, render());
}

void main();
