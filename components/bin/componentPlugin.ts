/**
 * The program of `plugin/` and `pulumi/`, which the engine starts for programs in other languages. Serves until the
 * engine stops it.
 */
import * as pulumi from "@pulumi/pulumi";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import * as exported from "../index";
import { serveTypes } from "../dynamic/dynamicResource";
import { ComponentPlugin, type PackageSchema } from "../plugin/componentPlugin";
import { OWN_TYPES } from "../plugin/ownResources";

const PACKAGE = join(__dirname, "..", "..", "..");
const schema = JSON.parse(readFileSync(join(PACKAGE, "dist", "schema.json"), "utf8")) as PackageSchema;

/** The address in `pulumi package add` if Pulumi has cloned it: npm installed this package inside of the clone. */
function downloadUrl(): string | null {
  const folder = join(PACKAGE, "..", "..");
  const config = join(folder, "..", ".git", "config");
  if (!existsSync(join(folder, "PulumiPlugin.yaml")) || !existsSync(config)) return null;
  const [, repository] = /url = https:\/\/(.+)/.exec(readFileSync(config, "utf8")) ?? [];
  return repository === undefined ? null : `git://${repository}/${basename(folder)}`;
}

const url = downloadUrl();
serveTypes(OWN_TYPES, url === null ? {} : { pluginDownloadURL: url, version: schema.version });
void pulumi.provider.main(new ComponentPlugin(schema, exported), process.argv.slice(2));
