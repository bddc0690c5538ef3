import { expect, test } from "vitest";
import { projectFolder } from "../../../tools/parts/cache";
import { migrationBundles, runtimeBundle } from "../../../tools/parts/build/build";
import { bundledPackages, type PackageManifest, type Sbom, shippedParts } from "../../../tools/release/sbom";

const DEVELOPMENT = [{ name: "cdx:npm:package:development", value: "true" }];
const manifest = (name: string, ...dependencies: string[]): PackageManifest => ({
  name,
  version: "0.1.0",
  dependencies: Object.fromEntries(dependencies.map((each) => [each, "^1.0.0"])),
});
const part = (ref: string, isForDevelopment = false): Sbom["components"][number] => ({
  "bom-ref": ref,
  name: ref.replace(/@[^@]+$/, ""),
  properties: isForDevelopment ? DEVELOPMENT : [],
});
const WHOLE: Sbom = {
  metadata: { component: { "bom-ref": "pgbackstop@0.1.0", name: "clone" } },
  components: [
    part("sdk@3.0.0"),
    part("grpc@1.0.0"),
    part("pg@8.0.0", true),
    part("compiler@6.0.0", true),
    { ...part("pgbackstop-migration@0.1.0"), name: "migration" },
  ],
  dependencies: [
    { ref: "pgbackstop@0.1.0", dependsOn: ["pgbackstop-migration@0.1.0", "sdk@3.0.0", "pg@8.0.0", "compiler@6.0.0"] },
    { ref: "pgbackstop-migration@0.1.0", dependsOn: ["pgbackstop@0.1.0", "sdk@3.0.0"] },
    { ref: "sdk@3.0.0", dependsOn: ["grpc@1.0.0", "compiler@6.0.0"] },
    { ref: "compiler@6.0.0", dependsOn: [] },
  ],
};

test("the list has what npm installs and what the runtime's file contains, and no tools", () => {
  const shipped = shippedParts(WHOLE, manifest("pgbackstop", "sdk"), ["pg@8.0.0"]);
  expect(shipped.metadata.component.name).toBe("pgbackstop");
  expect(shipped.components).toEqual([part("sdk@3.0.0"), part("grpc@1.0.0"), part("pg@8.0.0")]);
  expect(shipped.dependencies).toEqual([
    { ref: "pgbackstop@0.1.0", dependsOn: ["sdk@3.0.0", "pg@8.0.0"] },
    { ref: "sdk@3.0.0", dependsOn: ["grpc@1.0.0"] },
  ]);
});

test("a package that builds on this one has a list of its own, without its peer", () => {
  const { components, dependencies, metadata } = shippedParts(WHOLE, manifest("pgbackstop-migration", "sdk"), []);
  expect(metadata.component).toEqual(part("pgbackstop-migration@0.1.0"));
  expect(components).toEqual([part("sdk@3.0.0"), part("grpc@1.0.0")]);
  expect(dependencies[0]).toEqual({ ref: "pgbackstop-migration@0.1.0", dependsOn: ["sdk@3.0.0"] });
});

test("a package that npm does not list is an error", () => {
  expect(() => shippedParts(WHOLE, manifest("pgbackstop", "sdk", "ssh2"), ["undici@7.0.0"])).toThrow(
    "npm sbom lists no undici@7.0.0, ssh2",
  );
  expect(() => shippedParts(WHOLE, manifest("other"), [])).toThrow("npm sbom lists no other@0.1.0");
});

// claim: docs/versioning.md: the list of components has what users get
test("the runtime's file contains packages that npm calls tools", async () => {
  const namesIn = async (bundles: Parameters<typeof bundledPackages>[1]): Promise<string[]> =>
    (await bundledPackages(projectFolder(), bundles)).map((ref) => ref.replace(/@[^@]+$/, ""));
  const names = await namesIn([runtimeBundle(projectFolder())]);
  expect(names).toEqual(expect.arrayContaining(["@grpc/grpc-js", "pg", "ssh2", "undici"]));
  expect(names).not.toContain("esbuild");
  expect(await namesIn(migrationBundles(projectFolder()))).toContain("pg");
});
