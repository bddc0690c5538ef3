/** The wire format: CloudNativePG's names, and every field that its processes read without a check. */
import { describe, expect, test } from "vitest";
import {
  callCapabilities,
  lifecycleCapabilities,
  metricDefinitions,
  metricSamples,
  patchAnswer,
  pluginCapabilities,
  restoreJobCapabilities,
} from "../../../../runtime/cnpg/grpc/answers";
import { identityService } from "../../../../runtime/cnpg/grpc/identityService";
import { SERVICES, type ServiceName, serviceOf } from "../../../../runtime/cnpg/grpc/protocol";

const METHODS: Readonly<Record<ServiceName, readonly string[]>> = {
  identity: ["GetPluginMetadata", "GetPluginCapabilities", "Probe"],
  operator: [
    "GetCapabilities",
    "ValidateClusterCreate",
    "ValidateClusterChange",
    "MutateCluster",
    "SetStatusInCluster",
    "Deregister",
  ],
  lifecycle: ["GetCapabilities", "LifecycleHook"],
  reconciler: ["GetCapabilities", "Pre", "Post"],
  wal: ["GetCapabilities", "Archive", "Restore", "Status", "SetFirstRequired"],
  backup: ["GetCapabilities", "Backup"],
  restoreJob: ["GetCapabilities", "Restore"],
  postgres: ["GetCapabilities", "EnrichConfiguration"],
  metrics: ["GetCapabilities", "Define", "Collect"],
};

function methodOf(service: ServiceName, method: string) {
  const result = serviceOf(service)[method];
  if (result === undefined) throw new Error(`no ${service}.${method}`);
  return result;
}

/** The answer as the caller receives it. */
function sent(service: ServiceName, method: string, answer: object): unknown {
  const { responseSerialize, responseDeserialize } = methodOf(service, method);
  return responseDeserialize(responseSerialize(answer));
}

describe("the services", () => {
  test.each(Object.keys(METHODS) as ServiceName[])("%s has its methods under their names on the wire", (name) => {
    const paths = Object.values(serviceOf(name)).map((method) => method.path);
    expect(paths.sort()).toEqual(METHODS[name].map((method) => `/${SERVICES[name]}/${method}`).sort());
  });

  test("live in the packages of the protocol, two of them in another one's", () => {
    expect([SERVICES.restoreJob, SERVICES.postgres]).toEqual([
      "cnpgi.wal.v1.RestoreJobHooks",
      "cnpgi.identity.v1.Postgres",
    ]);
  });
});

describe("requests", () => {
  const decode = (service: ServiceName, method: string, bytes: readonly number[]): unknown =>
    methodOf(service, method).requestDeserialize(Buffer.from(bytes));

  test("distinguish an absent flag from a false one", () => {
    const path = [0x12, 0x01, 0x78];
    expect(decode("wal", "Archive", path)).not.toHaveProperty("check_empty_wal_archive");
    expect(decode("wal", "Archive", [...path, 0x20, 0x00])).toMatchObject({
      source_file_name: "x",
      check_empty_wal_archive: false,
    });
    expect(decode("wal", "Archive", [...path, 0x20, 0x01])).toMatchObject({ check_empty_wal_archive: true });
  });

  test("name the mode of a restore, absent before 0.6", () => {
    expect(decode("wal", "Restore", [])).toMatchObject({ mode: "MODE_UNSPECIFIED" });
    expect(decode("wal", "Restore", [0x28, 0x02])).toMatchObject({ mode: "MODE_REWIND" });
  });

  test("tolerate fields of a newer caller", () => {
    expect(decode("wal", "Archive", [0x12, 0x01, 0x78, 0xf8, 0x01, 0x07])).toMatchObject({ source_file_name: "x" });
  });
});

describe("answers", () => {
  test("capabilities of the plugin name a service each", () => {
    const services = ["WAL_SERVICE", "BACKUP_SERVICE", "LIFECYCLE_SERVICE", "RESTORE_JOB", "METRICS"] as const;
    const answer = sent("identity", "GetPluginCapabilities", pluginCapabilities(services)) as {
      capabilities: unknown[];
    };
    expect(answer.capabilities).toEqual(
      services.map((name) => ({ type: "service", service: { type: `TYPE_${name}` } })),
    );
  });

  test.each([
    ["wal", ["ARCHIVE_WAL", "RESTORE_WAL"]],
    ["backup", ["BACKUP"]],
    ["metrics", ["METRICS"]],
  ] as const)("capabilities of %s name a call each", (service, calls) => {
    const answer = sent(service, "GetCapabilities", callCapabilities(calls)) as { capabilities: unknown[] };
    expect(answer.capabilities).toEqual(calls.map((name) => ({ type: "rpc", rpc: { type: `TYPE_${name}` } })));
  });

  test("capabilities of the lifecycle and of the restore name kinds and operations", () => {
    const kinds = lifecycleCapabilities([{ group: "batch", kind: "Job", operations: ["CREATE", "EVALUATE"] }]);
    expect(sent("lifecycle", "GetCapabilities", kinds)).toEqual({
      lifecycle_capabilities: [
        { group: "batch", kind: "Job", operation_types: [{ type: "TYPE_CREATE" }, { type: "TYPE_EVALUATE" }] },
      ],
    });
    expect(sent("restoreJob", "GetCapabilities", restoreJobCapabilities())).toEqual({
      capabilities: [{ kind: "KIND_RESTORE" }],
    });
  });

  test("every metric has its type, and a sample that does not match its definition is left out", () => {
    const definitions = [{ name: "a", help: "of a", labels: ["repo"] }];
    expect(sent("metrics", "Define", metricDefinitions(definitions))).toEqual({
      metrics: [
        { fq_name: "a", help: "of a", variable_labels: ["repo"], const_labels: {}, value_type: { type: "TYPE_GAUGE" } },
      ],
    });
    const samples = [
      { name: "a", value: 0.5, labels: ["repo1"] },
      { name: "a", value: 1, labels: [] },
      { name: "b", value: 1, labels: ["repo1"] },
    ];
    expect(sent("metrics", "Collect", metricSamples(definitions, samples))).toEqual({
      metrics: [{ fq_name: "a", value: 0.5, variable_labels: ["repo1"] }],
    });
  });

  test("a patch is a list, or no bytes", () => {
    expect(sent("lifecycle", "LifecycleHook", patchAnswer([], "[]"))).toEqual({ json_patch: Buffer.from("") });
    expect(sent("lifecycle", "LifecycleHook", patchAnswer([{}], "[{}]"))).toEqual({ json_patch: Buffer.from("[{}]") });
  });

  test("times of a backup are whole seconds on the wire", () => {
    const bytes = methodOf("backup", "Backup").responseSerialize({
      backup_id: "L",
      started_at: 300,
      stopped_at: 2 ** 33,
    });
    expect([...bytes]).toEqual([0x0a, 0x01, 0x4c, 0x18, 0xac, 0x02, 0x20, 0x80, 0x80, 0x80, 0x80, 0x20]);
    expect(sent("backup", "Backup", { stopped_at: 2 ** 33 })).toMatchObject({ stopped_at: 2 ** 33 });
  });

  test("the plugin has the name of its socket, and answers a probe from memory", async () => {
    const { methods } = identityService(["METRICS"]);
    const call = (name: string): unknown => methods[name]?.({} as never, AbortSignal.timeout(1000));
    expect(sent("identity", "GetPluginMetadata", (await call("GetPluginMetadata")) as object)).toMatchObject({
      name: "pgbackstop",
      maturity: "alpha",
    });
    expect(sent("identity", "Probe", (await call("Probe")) as object)).toEqual({ ready: true });
  });
});
