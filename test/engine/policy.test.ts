/**
 * The policy pack on the real engine: it stops the preview of a stack with someone else's faulty objects, names them,
 * and passes the corrected ones.
 */
import { delimiter } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import * as seeds from "../components/plan/manifests/seeds";
import { ProviderDouble, type ResourceSchema } from "../harness/doubles/providerDouble";
import { writePolicyPack } from "../harness/doubles/languageHostDouble";
import { textOf, type Values } from "../harness/doubles/providerValues";

const TYPES = ["kubernetes:postgresql.cnpg.io/v1:ScheduledBackup", "kubernetes:core/v1:Service"];

const OBJECT: ResourceSchema = {
  required: [],
  optional: ["apiVersion", "kind", "metadata", "spec"],
  id: ({ metadata }) => textOf((metadata as Values)["name"]),
};

let programFolder: ProgramFolder;
let kubernetes: ProviderDouble;
let pack: string;

class Declared extends pulumi.CustomResource {}

beforeAll(async () => {
  const resources = Object.fromEntries(TYPES.map((type) => [type, OBJECT]));
  kubernetes = await ProviderDouble.start({ name: "kubernetes", version: "4.0.0", resources });
  const prepared = await makeProgramFolder([kubernetes]);
  const { env } = prepared;
  const written = writePolicyPack(prepared.folder, 'require("pgbackstop/policy").backupPolicyPack();');
  pack = written.pack;
  programFolder = { ...prepared, env: { ...env, PATH: [written.programs, env["PATH"] ?? ""].join(delimiter) } };
});
afterAll(() => {
  kubernetes?.stop();
  removeProgramFolder(programFolder);
});

async function preview(objects: readonly Record<string, unknown>[]): Promise<string> {
  const stack = await openStack(programFolder, "prod", async () => {
    for (const { apiVersion, kind, ...props } of objects) {
      const { name } = props["metadata"] as { name: string };
      const version = String(apiVersion);
      new Declared(`kubernetes:${version.includes("/") ? version : `core/${version}`}:${String(kind)}`, name, {
        apiVersion,
        kind,
        ...props,
      });
    }
  });
  const { stdout, stderr } = await stack
    .preview({ policyPacks: [pack] })
    .catch((error: unknown) => ({ stdout: String(error), stderr: "" }));
  return stdout + stderr;
}

test("mistakes stop the preview with their codes and remedies", async () => {
  const text = await preview([seeds.SERVICE, ...seeds.FINAL_BACKUPS]);
  expect(text).toMatch(
    /\[mandatory\] +PB070 +\(kubernetes:postgresql\.cnpg\.io\/v1:ScheduledBackup: immich18-daily-b2\)/,
  );
  expect(text).toContain("it runs 24 times a day, at minute 3 of every hour; put the seconds first");
  expect(text).toContain("PB052 Service database/pgbackrest metadata.name");
  expect(text).toContain("preview failed");
});

test("the corrected objects pass", async () => {
  const [first, second] = seeds.FINAL_BACKUPS.map((object, index) => ({
    ...object,
    spec: { ...(object["spec"] as object), schedule: `0 0 ${3 + index} * * *` },
  }));
  const text = await preview([{ ...seeds.SERVICE, metadata: { name: "cnpg-pgbackrest" } }, first ?? {}, second ?? {}]);
  expect(text).not.toMatch(/PB\d{3}/);
  expect(text).toMatch(/✅ +pgbackstop/);
});
