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
import { projectFolder } from "../cache";

const NAME = "pgbackstop";

/** The analyzer's result for every exported component. @throws Error for a type that other languages cannot have */
export function analyzeComponents(): ReturnType<Analyzer["analyze"]> {
  const folder = join(projectFolder(), "components");
  const names = Object.entries(exported).flatMap(([name, value]) =>
    getPulumiComponents(value).length > 0 ? [name] : [],
  );
  return new Analyzer(folder, NAME, { name: NAME, main: "index.ts" }, new Set(names)).analyze();
}

/** Writes dist/schema.json. @throws like {@link analyzeComponents} */
export function writePackageSchema(): void {
  const { version, description } = JSON.parse(readFileSync(join(projectFolder(), "package.json"), "utf8")) as {
    version: string;
    description: string;
  };
  const { components, typeDefinitions, dependencies } = analyzeComponents();
  const schema = generateSchema(NAME, version, description, components, typeDefinitions, dependencies);
  writeFileSync(join(projectFolder(), "dist", "schema.json"), JSON.stringify(schema));
}
