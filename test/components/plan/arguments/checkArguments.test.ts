/** Arguments that TypeScript has not seen: each mistake has a finding with its path and its remedy. */
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import {
  CipherPassphrase,
  CnpgBackup,
  CnpgCluster,
  CnpgRestore,
  PosixRepository,
  PostgresHost,
} from "../../../../components/index";
import { ARGUMENT_TYPES, type ArgumentType } from "../../../../components/plan/arguments/argumentTypes";
import { checkArguments } from "../../../../components/plan/arguments/checkArguments";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import { fieldsOf, parseType, type Shape } from "../../../../runtime/base/declaredTypes";
import * as fc from "../../../harness/properties";

beforeAll(() =>
  pulumi.runtime.setMocks({ call: () => ({}), newResource: ({ name }) => ({ id: name, state: {} }) }, "shop", "prod"),
);

const REPOSITORIES = { repo1: { at: { name: "a" } } };
const GIVEN = { namespace: "db", repositories: REPOSITORIES, storageGiB: 1 };

describe("of a cluster", () => {
  test.each([
    ["nothing at all", {}, ["PB118 namespace", "PB118 repositories"]],
    ["no object", undefined, ["PB118 namespace", "PB118 repositories"]],
    ["null, as YAML writes it", { ...GIVEN, namespace: null }, ["PB118 namespace"]],
    ["a repository without its location", { ...GIVEN, repositories: { repo1: {} } }, ["PB118 repositories.repo1.at"]],
    [
      "a part of an optional argument",
      { ...GIVEN, bootstrap: { recovery: { repositories: {} } }, schedules: { full: {} } },
      ["PB118 schedules.full.cron", "PB118 bootstrap.recovery.stanza"],
    ],
    [
      "an output where one may be, whatever it has",
      {
        ...GIVEN,
        namespace: pulumi.output("db"),
        storageGiB: unknownMarker(1),
        options: { "log-path": pulumi.output("") },
      },
      [],
    ],
    [
      "an output where a plain value must be",
      {
        ...GIVEN,
        engine: pulumi.output("runtime"),
        repositories: pulumi.output({}),
        silence: { PB003: unknownMarker(1) },
      },
      ["PB191 engine", "PB191 repositories", "PB191 silence.PB003"],
    ],
    ["an output in a field of the operator", { ...GIVEN, spec: { affinity: pulumi.output({}) } }, []],
    [
      "a typo at any depth",
      { ...GIVEN, bootstrap: { recovery: { stanza: "a", repositories: REPOSITORIES, form: [] } } },
      ["PB190 bootstrap.recovery.form"],
    ],
    ["an empty section", { ...GIVEN, sizing: null, parameters: null }, ["PB191 parameters", "PB191 sizing"]],
    ["text for a section", { ...GIVEN, sizing: "10Gi" }, ["PB191 sizing"]],
    ["a list for a map", { ...GIVEN, parameters: ["a"] }, ["PB191 parameters"]],
    ["text for a list", { ...GIVEN, spec: { postgresql: { pg_hba: "local" } } }, ["PB191 spec.postgresql.pg_hba"]],
    [
      "an item of another type",
      { ...GIVEN, spec: { postgresql: { pg_hba: [1] } } },
      ["PB191 spec.postgresql.pg_hba[0]"],
    ],
  ])("%s", (_what, args, expected) => {
    const findings = checkArguments("CnpgClusterArgs", args).map(({ code, path }) => `${code} ${path}`);
    expect(findings.sort()).toEqual([...expected].sort());
  });

  test.each([
    [{ instances: "3" }, 'it is the text "3", and must be a number', "write 3 without quotes"],
    [{ storageGiB: "50Gi" }, 'it is the text "50Gi", and must be a number', "its unit is in the name, GiB"],
    [{ drillPolicy: "true" }, 'it is the text "true", and must be true or false', "write true without quotes"],
    [{ parameters: { max_connections: 400 } }, "it is the number 400, and must be text", 'write it in quotes: "400"'],
    [{ storageGb: 5 }, "CnpgCluster has no field 'storageGb'", "did you mean storageGiB?"],
    [{ storage_gib: 5 }, "CnpgCluster has no field 'storage_gib'", "did you mean storageGiB?"],
    [{ storage: 5 }, "CnpgCluster has no field 'storage'", "did you mean storageGiB?"],
    [{ archiveTimeoutMinutes: 5 }, "CnpgCluster has no field 'archiveTimeoutMinutes'", "archiveTimeoutSeconds?"],
    [{ completely: 5 }, "CnpgCluster has no field 'completely'", "it takes acknowledge, "],
  ])("%j says what is wrong, and the way out", (args, message, hint) => {
    const [first] = checkArguments("CnpgClusterArgs", { ...GIVEN, ...args });
    expect(first).toMatchObject({ message, hint: expect.stringContaining(hint) });
  });

  test.each([
    [{ objectives: { rpoMinutes: 5 } }, "objectives has no field 'rpoMinutes'", "did you mean rpoSeconds?"],
    [
      { schedules: { full: "0 3 * * 0" } },
      'it is the text "0 3 * * 0", and must be a section with names',
      'write { cron: "0 3 * * 0" }',
    ],
  ])("%j says what is meant", (args, message, hint) => {
    expect(checkArguments("CnpgClusterArgs", { ...GIVEN, ...args })).toMatchObject([{ message, hint }]);
  });

  test("a component in the place of one of its outputs is one error, with the output's name", () => {
    const nas = new PosixRepository("nas", { path: "/mnt/nas" });
    const key = new CipherPassphrase("key", {});
    expect(checkArguments("CnpgClusterArgs", { ...GIVEN, repositories: { repo1: { at: nas } } })).toMatchObject([
      { path: "repositories.repo1.at", hint: "pass target of it" },
    ]);
    expect(checkArguments("PosixRepositoryArgs", { path: "/p", cipher: key })).toMatchObject([
      { path: "cipher", hint: "pass ref of it" },
    ]);
  });

  test("a passphrase in the place of a section is quoted nowhere", () => {
    expect(checkArguments("PosixRepositoryArgs", { path: "/p", cipher: "geheim" })).toMatchObject([
      { path: "cipher", message: "it is text, and must be a section with names" },
    ]);
  });

  test("no message contains a secret", () => {
    const findings = checkArguments("S3CredentialsChoice", { passphrase: 12345678 });
    const cipher = checkArguments("CipherRef", { passphrase: 12345678 });
    expect(JSON.stringify([findings, cipher])).not.toContain("12345678");
    expect(cipher[0]?.message).toBe("it is a number, and must be text");
  });
});

test("each component refuses them before it creates anything", () => {
  const made = [CnpgCluster, CnpgBackup, CnpgRestore, PostgresHost];
  for (const Component of made) {
    const create = (args: unknown): unknown => new Component("x", args as never);
    expect(() => create({ nothing: 1 }), Component.name).toThrow("PB190 nothing");
    expect(() => create(undefined), Component.name).toThrow("PB118");
  }
});

const DEFERRED = "it comes from another resource, and must be known when the program runs";

test.each([
  [{ engine: pulumi.output("runtime") }, `${DEFERRED}: it decides the objects of the engine`, "pass the value itself"],
  [
    { silence: { PB003: pulumi.output("one is enough") } },
    `${DEFERRED}: it decides which findings the preview reports`,
    "pass the value itself",
  ],
  [{ poolers: pulumi.output({}) }, `${DEFERRED}: what it has decides which resources exist`, "pass its fields instead"],
  [
    { drillChecks: { assertions: pulumi.output([]) } },
    `${DEFERRED}: what it has decides which resources exist`,
    "pass its items instead",
  ],
])("a plain argument that comes later says what it decides: %#", (args, message, hint) => {
  expect(checkArguments("CnpgClusterArgs", { ...GIVEN, ...args })).toMatchObject([{ code: "PB191", message, hint }]);
});

test.each([
  ["CnpgPluginArgs", "engine", { engine: "nonsense" }],
  ["CnpgClusterArgs", "runtimeDelivery", { ...GIVEN, runtimeDelivery: "nonsense" }],
  ["CnpgClusterArgs", "stanzaKind", { ...GIVEN, stanzaKind: "nonsense" }],
  ["ClusterScheduleArgs", "ownerReference", { cron: "0 3 * * 0", ownerReference: "nonsense" }],
  ["PrimaryArgs", "sslmode", { host: "db1", user: "replicator", sslmode: "nonsense" }],
  ["ExternalStore", "kind", { name: "vault", kind: "nonsense" }],
  ["ExternalStore", "creationPolicy", { name: "vault", creationPolicy: "nonsense" }],
  ["ExternalStore", "deletionPolicy", { name: "vault", deletionPolicy: "nonsense" }],
  ["RecoveryArgs", "engine", { stanza: "s", repositories: REPOSITORIES, engine: "nonsense" }],
])("%s refuses a value of %s outside of its choices", (type, path, args) => {
  const message = expect.stringContaining('it is the text "nonsense", and must be one of ');
  expect(checkArguments(type, args)).toMatchObject([{ code: "PB191", path, message }]);
});

test("the placement of pods is compared with Kubernetes' fields", () => {
  const podPlacement = {
    tolerations: [{ key: "dedicated", oprator: "Exists" }],
    affinity: { nodeAfinity: {}, podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: "zone" } },
  };
  const findings = checkArguments("CnpgClusterArgs", { ...GIVEN, podPlacement });
  expect(findings.map(({ code, path }) => `${code} ${path}`).sort()).toEqual([
    "PB190 podPlacement.affinity.nodeAfinity",
    "PB190 podPlacement.tolerations[0].oprator",
    "PB191 podPlacement.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution",
  ]);
});

test.each([
  [["failed"], "events[0]", 'it is the text "failed", and must be one of start, success, failure, drill, stale, test'],
  ["failure", "events", 'it is the text "failure", and must be a list'],
])("events %j of a notification are refused: the runtime would refuse the whole file", (events, path, message) => {
  const target = { type: "ntfy", url: "https://ntfy.sh", topic: "backups", events };
  const findings = checkArguments("PostgresHostArgs", { repositories: REPOSITORIES, notify: { targets: [target] } });
  expect(findings).toMatchObject([{ code: "PB191", path: `notify.targets[0].${path}`, message }]);
});

test.each([
  ['Input<Input<("a" | "b")>[]>', { kind: "list", of: 'Input<("a" | "b")>', isInput: true }],
  ['Input<("a" | "b")>', { kind: "either", of: ['"a"', '"b"'], isInput: true }],
  ["Input<A> | Input<B>[]", { kind: "either", of: ["Input<A>", "Input<B>[]"] }],
  ["{ [name: string]: A | B } | undefined", { kind: "map", key: "string", of: "A | B" }],
])("the type %s is read", (text, parsed) => {
  expect(parseType(text)).toEqual(parsed);
});

/** Passed on as they are: what a component returns. A new one here is checked by nothing. */
const OPEN = [
  "BackupHoldArgs.cluster",
  "BackupNowArgs.cluster",
  "DatabaseCloneArgs.cluster",
  "VolumeClaimTemplateSpec.metadata",
];

test("only these arguments take anything", () => {
  const isOpen = (shape: Shape): boolean =>
    shape.kind === "any" ||
    (shape.kind === "either" && shape.of.some(isOpen)) ||
    (shape.kind === "map" && (isOpen(shape.key) || isOpen(shape.of))) ||
    (shape.kind === "list" && isOpen(shape.of));
  const open = Object.keys(ARGUMENT_TYPES).flatMap((name) =>
    fieldsOf(name, { types: ARGUMENT_TYPES }).flatMap((field) =>
      field.owner === name && isOpen(field.shape) ? [`${name}.${field.name}`] : [],
    ),
  );
  expect(open.sort()).toEqual(OPEN);
});

/** A value of none of the declared types, for every kind of field. */
const STRANGE = [null, "", "x", "50Gi", "true", 0, -1, 1e9, true, [], [null], {}, { x: 1 }, "x".repeat(10_000)];

test("whatever a field has, there is a finding or the value is of its type", () => {
  // A newer operator may have more fields.
  const names = (Object.keys(ARGUMENT_TYPES) as ArgumentType[]).filter(
    (name) => !["ClusterSpec", "PoolerSpec"].includes(name),
  );
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.constantFrom(...STRANGE), fc.nat(), (name, value, index) => {
      const keys = Object.keys(ARGUMENT_TYPES[name]).filter((key) => key !== "...");
      const key = (keys[index % Math.max(keys.length, 1)] ?? "none").replace("?", "");
      for (const each of checkArguments(name, { [key]: value, [`${key}Zz`]: 1 })) {
        expect(each.message).toBeTruthy();
        expect(each.message).not.toContain("x".repeat(50));
        // The longest list of choices is that of `quirks`.
        expect(each.message.length).toBeLessThan(250);
      }
      const codes = checkArguments(name, { [`${key}Zz`]: 1 }).map(({ code }) => code);
      expect(codes).toContain("PB190");
    }),
    { numRuns: 2000 },
  );
});
