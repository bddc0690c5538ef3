/**
 * The program of `plugin/`, which the engine starts for programs in other languages. Serves until the engine stops it.
 */
import * as pulumi from "@pulumi/pulumi";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ComponentPlugin, type PackageSchema } from "pgbackstop/kit";
import { DECLARED } from "../declared";
import * as exported from "../index";

const schema = JSON.parse(readFileSync(join(__dirname, "..", "..", "schema.json"), "utf8")) as PackageSchema;

void pulumi.provider.main(new ComponentPlugin(schema, exported, DECLARED), process.argv.slice(2));
