/**
 * The package's Pulumi schema, dist/schema.json: inputs and outputs of its components, for programs in other languages.
 * The SDK's analyzer makes it from the sources, the same that `pulumi package add` runs on a component's folder.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Analyzer } from "@pulumi/pulumi/provider/experimental/analyzer";
import { getPulumiComponents } from "@pulumi/pulumi/provider/experimental/provider";
import { generateSchema } from "@pulumi/pulumi/provider/experimental/schema";
import * as exported from "../../../components/index";
import * as migration from "../../../packages/migration/components/index";
import { projectFolder } from "../cache";

const NAME = "pgbackstop";

/** A package, by its folder. */
const PACKAGES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  ".": exported,
  "packages/migration": migration,
};

/**
 * The analyzer's result for every exported component of a package.
 * @throws Error for a type that other languages cannot have
 */
export function analyzeComponents(path = ".", name = NAME): ReturnType<Analyzer["analyze"]> {
  const folder = join(projectFolder(), path, "components");
  const names = Object.entries(PACKAGES[path] ?? {}).flatMap(([exportedName, value]) =>
    getPulumiComponents(value).length > 0 ? [exportedName] : [],
  );
  return new Analyzer(folder, name, { name, main: "index.ts" }, new Set(names)).analyze();
}

/** Writes dist/schema.json of each package. @throws like {@link analyzeComponents} */
export function writePackageSchemas(): void {
  for (const path of Object.keys(PACKAGES)) {
    const folder = join(projectFolder(), path);
    const { description, name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
      name: string;
      version: string;
      description: string;
    };
    const { components, typeDefinitions, dependencies } = analyzeComponents(path, name);
    const schema = generateSchema(name, version, description, components, typeDefinitions, dependencies);
    writeFileSync(join(folder, "dist", "schema.json"), JSON.stringify(schema));
  }
}
