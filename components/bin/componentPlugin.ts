/**
 * The program of `plugin/`, which the engine starts for programs in other languages. Serves until the engine stops it.
 */
import * as pulumi from "@pulumi/pulumi";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ComponentPlugin, type PackageSchema } from "../plugin/componentPlugin";

/** Part of the package, beside this program's folder. */
const SCHEMA = join(__dirname, "..", "..", "schema.json");

void pulumi.provider.main(
  new ComponentPlugin(JSON.parse(readFileSync(SCHEMA, "utf8")) as PackageSchema),
  process.argv.slice(2),
);
