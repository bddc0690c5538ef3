/** `npm run docs`: writes docs/reference, and the arguments' types as data. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { MADE_FILES, PAGES } from "./docs/pages";
import { projectFolder } from "./parts/cache";

for (const [name, render] of Object.entries(PAGES))
  writeFileSync(join(projectFolder(), "docs", "reference", name), render());
for (const [path, render] of Object.entries(MADE_FILES)) writeFileSync(join(projectFolder(), path), render());
