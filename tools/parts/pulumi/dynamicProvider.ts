/**
 * Pulumi's plugin for dynamic resources in one file. Every update starts it, and the SDK's own loads 764 files: 0.5 s
 * of processor time; this one needs 0.1 s. It has neither the compiler nor the reader of packages, which only programs
 * need to serialize their functions.
 */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { build as bundle, type Plugin } from "esbuild";
import { cached, cacheFolder, projectFolder } from "../cache";

/** The name under which the engine looks for the plugin on PATH. */
const PLUGIN = "pulumi-resource-pulumi-nodejs";
/** Changes with this file, as the cache's key. */
const EDITION = 1;
/** What only serializing needs. */
const UNUSED = /(^@npmcli\/arborist|\/typescript-shim(\.js)?)$/;

const withoutUnused: Plugin = {
  name: "without-unused",
  setup: (builder) => {
    builder.onResolve({ filter: UNUSED }, ({ path }) => ({ path, namespace: "unused" }));
    builder.onLoad({ filter: /.*/, namespace: "unused" }, () => ({ contents: "module.exports = {};" }));
  },
};

/** The folder for PATH. `node` is the first one there. */
export function dynamicProviderFolder(): Promise<string> {
  const require = createRequire(join(projectFolder(), "package.json"));
  const { version } = JSON.parse(readFileSync(require.resolve("@pulumi/pulumi/package.json"), "utf8")) as {
    version: string;
  };
  return cached(join(cacheFolder(), `dynamic-provider-${version}-${EDITION}`), async (scratch) => {
    await bundle({
      entryPoints: [require.resolve("@pulumi/pulumi/cmd/dynamic-provider")],
      outfile: join(scratch, "provider.cjs"),
      bundle: true,
      platform: "node",
      target: "node22",
      plugins: [withoutUnused],
      logLevel: "silent",
    });
    const script = join(scratch, PLUGIN);
    writeFileSync(script, `#!/bin/sh\nexec node "\${0%/*}/provider.cjs" "$@"\n`);
    chmodSync(script, 0o755);
  });
}
