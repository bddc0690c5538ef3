/** Components of programs in other languages: a mistake in their arguments is refused as in TypeScript. */
import * as pulumi from "@pulumi/pulumi";
import { unknown } from "@pulumi/pulumi/output";
import { expect, test } from "vitest";
import * as exported from "../../../components/index";
import { ComponentPlugin, type PackageSchema } from "../../../components/plugin/componentPlugin";

const TYPE = "pgbackstop:index:CnpgCluster";
const number = { type: "number" };
const SCHEMA: PackageSchema = {
  name: "pgbackstop",
  version: "1.0.0",
  resources: {
    [TYPE]: {
      inputProperties: {
        namespace: { type: "string" },
        instances: number,
        storageGiB: number,
        drillPolicy: { type: "boolean", plain: true },
        sizing: { $ref: "#/types/pgbackstop:index:SizingArgs" },
        repositories: { type: "object", additionalProperties: { $ref: "#/types/pgbackstop:index:Repository" } },
      },
      properties: {},
    },
  },
  types: {
    "pgbackstop:index:SizingArgs": { properties: { databaseGiB: number } },
    "pgbackstop:index:Repository": { properties: { keepDays: number } },
  },
};
const GIVEN = { namespace: "db", storageGiB: 1, repositories: {} };

async function refusalOf(inputs: pulumi.Inputs, isPreview = false): Promise<string> {
  await pulumi.runtime.setMocks(
    { call: () => ({}), newResource: ({ name }) => ({ id: name, state: {} }) },
    "p",
    "s",
    isPreview,
  );
  try {
    await new ComponentPlugin(SCHEMA, exported).construct("orders", TYPE, inputs, {});
    return "none";
  } catch (error) {
    if (!pulumi.InputPropertiesError.isInstance(error)) throw error;
    return error.message;
  }
}

test.each([
  ["a typo", { storageGib: 5 }, "PB190 storageGib: CnpgCluster has no field 'storageGib'; did you mean storageGiB?"],
  [
    "a typo in a section of an output",
    { sizing: pulumi.output({ databaseGib: 5 }) },
    "PB190 sizing.databaseGib: sizing has no field 'databaseGib'; did you mean databaseGiB?",
  ],
  [
    "text for a number",
    { instances: "3" },
    'PB191 instances: it is the text "3", and must be a number; write 3 without',
  ],
  ["a unit", { storageGiB: "5Gi" }, 'PB191 storageGiB: it is the text "5Gi", and must be a number'],
  [
    "a number in a list's place",
    { repositories: { repo1: { keepDays: [7] } } },
    "PB191 repositories.repo1.keepDays: it is a list",
  ],
  ["null for a required one", { namespace: null }, "PB118 namespace: it is required, and not given; set namespace"],
])("%s is refused with path, fact and way out", async (_what, inputs, expected) => {
  expect(await refusalOf({ ...GIVEN, ...inputs })).toContain(expected);
});

test("a preview that does not know a plain part refuses the others' mistakes", async () => {
  const drillPolicy = pulumi.output<unknown>(unknown);
  expect(await refusalOf({ ...GIVEN, drillPolicy, instances: "3" }, true)).toContain("PB191 instances");
  expect(await refusalOf({ ...GIVEN, drillPolicy }, true)).toBe("none");
});

test("two components of one run that use the same are judged together; another run does not see them", async () => {
  // Resources of earlier runs register with their mocks.
  await pulumi.runtime.disconnect();
  const s3 = { bucket: "orders-pg", endpoint: "s3.example.net", region: "eu" };
  const keys = { name: "keys", accessKeyIdKey: "id", secretAccessKeyKey: "secret" };
  const at = { name: "store", path: "/pg", s3: { ...s3, existingSecret: keys } };
  // An engine that needs no program of ours.
  const engine = { engine: "barman-cloud", schedules: { full: { cron: "0 3 * * 0" } } };
  const given = { ...GIVEN, ...engine, repositories: { repo1: { at, keepDays: 7 } } };
  await pulumi.runtime.setMocks({
    call: () => ({}),
    newResource: (own) => ({ id: own.name, state: own.inputs as object }),
  });
  const plugin = new ComponentPlugin(SCHEMA, exported);
  const declare = async (name: string, stanza: unknown, address = "first", more = {}): Promise<string> => {
    Object.assign(pulumi.runtime.getMonitor() as object, { getChannel: () => ({ getTarget: () => address }) });
    try {
      await plugin.construct(name, TYPE, { ...given, stanza, clusterName: name, ...more }, {});
      return "none";
    } catch (error) {
      if (!pulumi.InputPropertiesError.isInstance(error)) throw error;
      return error.message;
    }
  };
  expect(await declare("orders", "orders")).toBe("none");
  expect(await declare("ledger", "ledger")).toBe("none");
  expect(await declare("copy", pulumi.output(Promise.resolve("orders")))).toContain(
    "PB195 repositories.repo1.at: this repository with this stanza is also that of CnpgCluster orders",
  );
  expect(await declare("copy", "orders", "second")).toBe("none");
  // Each would write on in the archive of the cluster that is gone.
  const recovery = { stanza: "orders", repositories: given.repositories, continueArchive: true, postgresVersion: 18 };
  const metadata = { annotations: { "cnpg.io/skipEmptyWalArchiveCheck": "enabled" } };
  const replacement = { bootstrap: { recovery }, metadata, postgresVersion: 18 };
  expect(await declare("replacement", "orders", "second", replacement)).toBe("none");
  expect(await declare("another", "orders", "second", replacement)).toContain(
    "PB195 repositories.repo1.at: this repository with this stanza is also that of CnpgCluster replacement",
  );
  await pulumi.runtime.disconnect();
});
