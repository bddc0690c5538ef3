/** `npm run docs`: writes docs/reference. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { PAGES } from "./docs/pages";
import { projectFolder } from "./parts/cache";

for (const [name, render] of Object.entries(PAGES))
  writeFileSync(join(projectFolder(), "docs", "reference", name), render());
