/** Objects of CloudNativePG 1.30, reduced to the fields that the plugin may read. */
import type { Json, JsonObject } from "../../../runtime/cnpg/kubernetes/clusterObject";

export const PARAMETERS = {
  bundle: "runtime-abc",
  configMap: "orders-backup",
  repo2Secret: "r2",
  repo1Secret: "b2",
  claims: "vault",
};

export function cluster(more: JsonObject = {}): JsonObject {
  return {
    apiVersion: "postgresql.cnpg.io/v1",
    kind: "Cluster",
    metadata: { name: "orders", namespace: "shop", uid: "c-1" },
    spec: {
      instances: 2,
      imagePullPolicy: "IfNotPresent",
      plugins: [
        { name: "other.example", enabled: true, parameters: { a: "b" } },
        { name: "pgbackstop", enabled: true, isWALArchiver: true, parameters: PARAMETERS },
      ],
      ...more,
    },
  };
}

const MOUNTS = [
  { name: "pgdata", mountPath: "/var/lib/postgresql/data" },
  { name: "scratch-data", mountPath: "/run" },
  { name: "scratch-data", mountPath: "/controller" },
  { name: "shm", mountPath: "/dev/shm" },
];
const ENV = [
  { name: "PGDATA", value: "/var/lib/postgresql/data/pgdata" },
  { name: "POD_NAME", value: "orders-1" },
  { name: "PGPORT", value: "5432" },
  { name: "PGHOST", value: "/controller/run" },
];

function podSpec(mainName: string): JsonObject {
  return {
    volumes: [
      { name: "pgdata", persistentVolumeClaim: { claimName: "orders-1" } },
      { name: "scratch-data", emptyDir: {} },
      { name: "shm", emptyDir: {} },
    ],
    initContainers: [{ name: "bootstrap-controller", image: "operator" }],
    containers: [
      { name: "exporter", image: "e" },
      { name: mainName, image: "postgresql:18", env: ENV, volumeMounts: MOUNTS },
    ],
  };
}

export function pod(): JsonObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "orders-1", labels: { "cnpg.io/podRole": "instance", "cnpg.io/cluster": "orders" } },
    spec: podSpec("postgres"),
  };
}

export function job(role: string): JsonObject {
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: `orders-1-${role}` },
    spec: { template: { metadata: { labels: { "cnpg.io/jobRole": role } }, spec: podSpec(role) } },
  };
}

/** The part of RFC 6902 that the plugin uses. */
export function applyPatch(
  object: JsonObject,
  operations: readonly { readonly op: string; readonly path: string; readonly value: Json }[],
): JsonObject {
  const result = structuredClone(object) as Record<string, unknown>;
  for (const { op, path, value } of operations) {
    const keys = path.split("/").slice(1);
    const last = keys.pop() ?? "";
    const parent = keys.reduce<unknown>((inner, key) => (inner as Record<string, unknown>)[key], result) as
      | Record<string, unknown>
      | unknown[];
    if (!Array.isArray(parent)) parent[last] = value;
    else if (last === "-") parent.push(value);
    else if (op === "replace") parent[Number(last)] = value;
    else parent.splice(Number(last), 0, value);
  }
  return result as JsonObject;
}

export const bytesOf = (object: object): Uint8Array => new TextEncoder().encode(JSON.stringify(object));
