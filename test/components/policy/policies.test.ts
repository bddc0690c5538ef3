/** The rules as policies: codes, reports, enforcement levels, silenced codes, and unknown values. */
import type { EnforcementLevel, ReportViolation } from "@pulumi/policy";
import { expect, test } from "vitest";
import { RULES } from "../../../components/plan/findings/ruleTable";
import {
  backupPolicies,
  type BackupPolicyOptions,
  checkResource,
  checkStack,
  POLICY_CODES,
} from "../../../components/policy/policies";
import * as seeds from "../plan/manifests/seeds";

const LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration";

/** A resource as the engine passes it: the type token contains kind and version. */
function resource(manifest: Record<string, unknown>): { type: string; name: string; props: Record<string, unknown> } {
  const { apiVersion, kind } = manifest as { apiVersion: string; kind: string };
  const { name } = manifest["metadata"] as { name: string };
  return {
    type: `kubernetes:${apiVersion.includes("/") ? apiVersion : `core/${apiVersion}`}:${kind}`,
    name,
    props: manifest,
  };
}

function codesOf(manifest: Record<string, unknown>): string[] {
  return checkResource(resource(manifest), []).map((result) => result.code);
}

function levels(options: BackupPolicyOptions): Record<string, EnforcementLevel | undefined> {
  return Object.fromEntries(backupPolicies(options).map((policy) => [policy.name, policy.enforcementLevel]));
}

test("an object is judged by its resource's content, with or without kind and version", () => {
  expect(codesOf(seeds.SERVICE)).toEqual(["PB052"]);
  const { apiVersion: _version, kind: _kind, ...props } = seeds.SERVICE;
  expect(
    checkResource({ type: "kubernetes:core/v1:Service", name: "pgbackrest", props }, []).map((result) => result.code),
  ).toEqual(["PB052"]);
  expect(
    checkResource({ type: "kubernetes:core/v1:Service", name: "pgbackrest", props: {} }, []).map(
      (result) => result.code,
    ),
  ).toEqual(["PB052"]);
  expect(codesOf(seeds.FROM_A_STANDBY)).toEqual(["PB070", "PB050"]);
});

test("a stack is judged as a whole", () => {
  const stack = [seeds.REPOSITORY, seeds.CLUSTER, seeds.FIRST_BACKUP, seeds.BARMAN_CONTROLLER, seeds.CONTROLLER].map(
    resource,
  );
  expect(checkStack(stack).map((result) => result.code)).toEqual(["PB028", "PB086"]);
});

test("only buckets with backups are judged", () => {
  const props = { bucket: "acme-pg-backups", rules: [{ status: "Enabled", expiration: { days: 30 } }] };
  const codes = (over: object, names: string[]): string[] =>
    checkResource({ type: LIFECYCLE, name: "rules", props: { ...props, ...over } }, names).map((result) => result.code);
  expect(codes({}, ["backup"])).toEqual(["PB058"]);
  expect(codes({ bucket: "acme-website" }, ["backup"])).toEqual([]);
  expect(codes({ bucket: "acme-website" }, ["website"])).toEqual(["PB058"]);
});

test.each([
  ["Bucket", { expiration: { days: 30 } }, ["PB058 bucket lifecycleRules[0].expiration"]],
  ["BucketV2", { expirations: [{ days: 30 }] }, ["PB058 bucket lifecycleRules[0].expirations[0]"]],
  [
    "BucketV2",
    { expirations: [{ expiredObjectDeleteMarker: true }, { date: "2030-01-01" }] },
    ["PB058 bucket lifecycleRules[0].expirations[1]"],
  ],
  ["BucketV2", { noncurrentVersionExpirations: [{ days: 30 }] }, []],
])("rules in the %s itself that delete live objects are judged: %j", (kind, rule, expected) => {
  const props = { bucket: "acme-pg-backups", lifecycleRules: [{ enabled: true, ...rule }] };
  const type = `aws:s3/${kind.toLowerCase()}:${kind}`;
  expect(checkResource({ type, name: "bucket", props }, ["backup"]).map(({ code, path }) => `${code} ${path}`)).toEqual(
    expected,
  );
});

test("a container of Azure is one of backups by the name of its account or its own", () => {
  const codes = (props: object): string[] =>
    checkResource({ type: "azure-native:storage:BlobContainer", name: "own", props }, ["backup"]).map(
      ({ code }) => code,
    );
  const open = { publicAccess: "Blob" };
  expect(codes({ ...open, accountName: "acmebackups", containerName: "orders" })).toEqual(["PB094"]);
  expect(codes({ ...open, accountName: "acme", containerName: "pg-backup" })).toEqual(["PB094"]);
  expect(codes({ ...open, accountName: "acme", containerName: "site" })).toEqual([]);
});

test("a login by password is found in this package's hosts, at each jump", () => {
  const codes = (type: string, ssh: object): string[] =>
    checkResource({ type, name: "db", props: { connection: { ssh } } }, []).map(({ code, path }) => `${code} ${path}`);
  const host = "pulumi-nodejs:dynamic/index:HostState";
  expect(codes(host, { host: "db", passwordLogin: true })).toEqual(["PB161 connection.password"]);
  expect(codes(host, { host: "db", jump: { passwordLogin: true } })).toEqual(["PB161 connection.proxy.password"]);
  expect(codes("pulumi-nodejs:dynamic/index:RepositoryHostState", { passwordLogin: true })).toHaveLength(1);
  expect(codes(host, { host: "db" })).toEqual([]);
  expect(codes("command:remote:Command", { passwordLogin: true })).toEqual([]);
});

test("a value that a proxy refuses to read is unknown, and not reported", () => {
  const spec = new Proxy(
    { schedule: "?", method: "plugin", cluster: { name: "orders" } },
    {
      get: (target, key) => {
        if (key === "schedule") throw new Error("string value at .spec.schedule can't be known during preview");
        return Reflect.get(target, key) as unknown;
      },
    },
  );
  const manifest = { apiVersion: "postgresql.cnpg.io/v1", kind: "ScheduledBackup", metadata: { name: "daily" }, spec };
  expect(codesOf(manifest)).toEqual([]);
});

test("errors are mandatory, the rest is advice; both can be set, and codes silenced", () => {
  expect(levels({})).toMatchObject({ PB070: "mandatory", PB085: "advisory" });
  const options: BackupPolicyOptions = {
    enforcement: { error: "advisory", warning: "mandatory" },
    silence: { PB085: "pinned by the admission controller" },
  };
  expect(levels(options)).toMatchObject({ PB070: "advisory", PB071: "mandatory", PB085: "disabled" });
  expect(() => backupPolicies({ silence: { PB999: "why not" } })).toThrow('"PB999" is not the code of a policy');
  expect(() => backupPolicies({ silence: { PB085: " " } })).toThrow("without a reason");
});

test("a policy reports its own code only", async () => {
  const reports: string[] = [];
  const args = { ...resource(seeds.FROM_A_STANDBY), urn: "urn:x" };
  for (const policy of backupPolicies()) {
    const { validateResource } = policy;
    if (typeof validateResource !== "function") throw new Error(`${policy.name} judges no resource`);
    const report: ReportViolation = (violation) => void reports.push(`${policy.name}: ${violation.slice(0, 5)}`);
    await validateResource(args as Parameters<typeof validateResource>[0], report);
  }
  expect(reports).toEqual(["PB050: PB050", "PB070: PB070"]);
});

test("every policy has a description with the remedy, and every code is one of the findings", () => {
  expect(new Set(POLICY_CODES).size).toBe(POLICY_CODES.length);
  for (const policy of backupPolicies()) expect(policy.description).toContain("Remedy: ");
  expect(POLICY_CODES.filter((code) => !Object.hasOwn(RULES, code))).toEqual([]);
});

test.each([
  [{ silense: {} }, "PB190 silense: the policy pack has no field 'silense'; did you mean silence?"],
  [{ silence: ["PB085"] }, "PB191 silence: it is a list, and must be a section with names"],
  [{ bucketNames: "backup" }, 'PB191 bucketNames: it is the text "backup", and must be a list'],
  [{ enforcement: { error: "fatal" } }, 'PB191 enforcement.error: it is the text "fatal", and must be one of advisory'],
  [{ enforcement: { eror: "advisory" } }, "did you mean error?"],
])("options as JavaScript may give them: %j", (options, message) => {
  expect(() => backupPolicies(options as never)).toThrow(message);
});
