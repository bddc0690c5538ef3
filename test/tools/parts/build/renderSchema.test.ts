/** The schema for editors and the checks of `pgbackstop render` agree: both come from the same declarations. */
import Ajv from "ajv";
import { expect, test } from "vitest";
import { ARGUMENT_TYPES } from "../../../../components/plan/arguments/argumentTypes";
import { checkArguments } from "../../../../components/plan/arguments/checkArguments";
import { fileSchemas, renderSchema } from "../../../../tools/parts/build/renderSchema";

const schema = renderSchema();
const validate = new Ajv({ allErrors: true, strict: false }).compile(schema);
const isValid = (file: unknown): boolean => validate(file);

const AT = { path: "/a", s3: { bucket: "b", endpoint: "e", region: "r", existingSecret: { name: "keys" } } };
const CLUSTER = { namespace: "db", storageGiB: 5, repositories: { repo1: { at: AT, keepDays: 7 } } };

test("a file with a plugin, a new cluster, an existing one and a host fits", () => {
  const { storageGiB: _size, ...existing } = CLUSTER;
  const host = {
    dataDirectory: "/var/lib/postgresql/18/main",
    repositories: CLUSTER.repositories,
    nodePath: "/bin/node",
  };
  const file = {
    plugin: { certManager: true, replicas: 2 },
    clusters: { orders: { ...CLUSTER, parameters: { max_connections: "400" } } },
    attach: { legacy: existing },
    hosts: { ledger: host },
    flux: { variables: ["BUCKET"] },
  };
  expect(isValid(file), JSON.stringify(validate.errors)).toBe(true);
});

test("a limit of bandwidth is a rate, or rates by hours of the day", () => {
  const settings = new Ajv({ strict: false }).compile(fileSchemas()["settings.schema.json"] ?? false);
  const fits = (limitRate: unknown): readonly boolean[] => [
    isValid({ clusters: { orders: { ...CLUSTER, repositories: { repo1: { at: AT, keepDays: 7, limitRate } } } } }),
    settings({ repos: { repo1: { limitRate } } }),
  ];
  expect(fits("20MiB")).toEqual([true, true]);
  expect(fits({ "08:00-20:00": "20MiB", "20:00-24:00": "50MiB", zone: "Europe/Berlin" })).toEqual([true, true]);
  expect(fits(20)).toEqual([false, false]);
  expect(fits({ "08:00-20:00": 20 })).toEqual([false, false]);
  // The names are a rule's in programs and their files (PB214).
  expect(fits({ "8-20": "20MiB" })).toEqual([true, false]);
});

test("fields of the operator have its types, at any depth", () => {
  const key = { name: "keys", key: "secret" };
  const fits = {
    resources: { limits: { cpu: 1, memory: "2Gi" } },
    externalClusters: [{ name: "old", barmanObjectStore: { s3Credentials: { secretAccessKey: key } } }],
  };
  expect(isValid({ clusters: { orders: { ...CLUSTER, spec: fits } } }), JSON.stringify(validate.errors)).toBe(true);
  for (const spec of [
    { resources: { limits: { cpu: true } } },
    { externalClusters: [{ nam: "old" }] },
    { affinity: { tolerations: {} } },
  ])
    expect(isValid({ clusters: { orders: { ...CLUSTER, spec } } })).toBe(false);
});

test("secrets, and what a file cannot have, do not fit", () => {
  const withKeys = { ...AT, s3: { ...AT.s3, credentials: { accessKeyId: "a", secretAccessKey: "b" } } };
  for (const cluster of [
    { ...CLUSTER, repositories: { repo1: { at: withKeys } } },
    { ...CLUSTER, repositories: { repo1: { at: { ...AT, cipher: { passphrase: "p" } } } } },
    { ...CLUSTER, runtimeDelivery: "plugin" },
  ])
    expect(isValid({ clusters: { orders: cluster } })).toBe(false);
});

test("a field of another type, an unknown one, or an empty one does not fit either of them", () => {
  const rows: Readonly<Record<string, string>> = ARGUMENT_TYPES.ClusterLikeArgs;
  for (const [key, type] of Object.entries(rows)) {
    const name = key.replace("?", "");
    for (const value of [null, ["x"], 15, "x", true, { x: ["y"] }]) {
      const cluster = { ...CLUSTER, [name]: value };
      const findings = checkArguments("CnpgClusterArgs", cluster);
      expect(isValid({ clusters: { orders: cluster } }), `${name}: ${type} = ${JSON.stringify(value)}`).toBe(
        findings.length === 0,
      );
    }
    expect(isValid({ clusters: { orders: { ...CLUSTER, [`${name}s0`]: 1 } } })).toBe(false);
  }
});
