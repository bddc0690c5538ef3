import { expect, test } from "vitest";
import { projectFolder } from "../../../tools/parts/cache";
import { bundledPackages, type Sbom, shippedParts } from "../../../tools/release/sbom";

const DEVELOPMENT = [{ name: "cdx:npm:package:development", value: "true" }];
const part = (ref: string, isForDevelopment = false): Sbom["components"][number] => ({
  "bom-ref": ref,
  name: ref.replace(/@[^@]+$/, ""),
  properties: isForDevelopment ? DEVELOPMENT : [],
});
const WHOLE: Sbom = {
  metadata: { component: { "bom-ref": "pgbackstop@0.1.0", name: "clone" } },
  components: [part("sdk@3.0.0"), part("grpc@1.0.0"), part("pg@8.0.0", true), part("compiler@6.0.0", true)],
  dependencies: [
    { ref: "pgbackstop@0.1.0", dependsOn: ["sdk@3.0.0", "pg@8.0.0", "compiler@6.0.0"] },
    { ref: "sdk@3.0.0", dependsOn: ["grpc@1.0.0", "compiler@6.0.0"] },
    { ref: "compiler@6.0.0", dependsOn: [] },
  ],
};

test("the list has what npm installs and what the runtime's file contains, and no tools", () => {
  const shipped = shippedParts(WHOLE, "pgbackstop", ["sdk"], ["pg@8.0.0"]);
  expect(shipped.metadata.component.name).toBe("pgbackstop");
  expect(shipped.components).toEqual([part("sdk@3.0.0"), part("grpc@1.0.0"), part("pg@8.0.0")]);
  expect(shipped.dependencies).toEqual([
    { ref: "pgbackstop@0.1.0", dependsOn: ["sdk@3.0.0", "pg@8.0.0"] },
    { ref: "sdk@3.0.0", dependsOn: ["grpc@1.0.0"] },
  ]);
});

test("a package that npm does not list is an error", () => {
  expect(() => shippedParts(WHOLE, "pgbackstop", ["sdk", "ssh2"], ["undici@7.0.0"])).toThrow(
    "npm sbom lists no undici@7.0.0, ssh2",
  );
});

// claim: docs/versioning.md: the list of components has what users get
test("the runtime's file contains packages that npm calls tools", async () => {
  const names = (await bundledPackages(projectFolder())).map((ref) => ref.replace(/@[^@]+$/, ""));
  expect(names).toEqual(expect.arrayContaining(["@smithy/signature-v4", "pg", "ssh2", "undici"]));
  expect(names).not.toContain("esbuild");
});
