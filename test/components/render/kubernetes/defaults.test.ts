/** Defaults that are values: what the reference and the schema for editors say is what a file without them gets. */
import { expect, test } from "vitest";
import { findingText } from "../../../../components/plan/findings/findings";
import { isFields, type Fields } from "../../../../components/plan/model/anyValue";
import { renderGitops } from "../../../../components/render/kubernetes/gitops";
import { renderSchema } from "../../../../tools/parts/build/renderSchema";

const SCHEMA = renderSchema();
const BUNDLE = { gzipBase64: "H4sI", sha256: "0123456789abcdef".repeat(4) };
const AT = {
  path: "/orders",
  s3: {
    bucket: "orders-pg",
    endpoint: "s3.example.net",
    region: "eu",
    existingSecret: { name: "keys", accessKeyIdKey: "id", secretAccessKeyKey: "secret", passphraseKey: "pass" },
  },
};
const COMMON = {
  namespace: "orders",
  repositories: { repo1: { at: AT, keepDays: 14 } },
  schedules: { full: { cron: "0 3 * * 0" }, incr: { cron: "0 3 * * 1-6" } },
  drills: { weekly: { cron: "0 5 * * 6" } },
  snapshots: { cron: "0 5 * * *", keepDays: 7 },
  streaming: {},
  staleCheck: {},
  notifySecret: "targets",
  monitoring: { podMonitor: true, prometheusRule: true },
};
const FILE = {
  plugin: { certManager: true },
  clusters: {
    orders: {
      ...COMMON,
      storageGiB: 50,
      poolers: { web: {} },
    },
  },
  attach: { legacy: { ...COMMON, stanza: "legacy" } },
};

/** Fields that were set. */
const filled: string[] = [];

/** The value with each default that is one, in every section that is there. */
function withDefaults(value: unknown, schema: Fields, path: string): unknown {
  const reference = schema["$ref"];
  if (typeof reference === "string") {
    const definitions = SCHEMA["definitions"] as Readonly<Record<string, Fields>>;
    return withDefaults(value, definitions[reference.replace("#/definitions/", "")] ?? {}, path);
  }
  const { additionalProperties, allOf, properties = {} } = schema;
  if (Array.isArray(allOf) && isFields(allOf[0])) return withDefaults(value, allOf[0], path);
  if (!isFields(value)) return value;
  const own = Object.entries(value).map(([name, item]): [string, unknown] => {
    const inner = (properties as Fields)[name] ?? additionalProperties;
    return [name, isFields(inner) ? withDefaults(item, inner, `${path}.${name}`) : item];
  });
  const added = Object.entries(properties as Fields).flatMap(([name, field]): [string, unknown][] => {
    if (name in value || !isFields(field) || field["default"] === undefined) return [];
    filled.push(`${path}.${name}`.slice(1));
    return [[name, field["default"]]];
  });
  return Object.fromEntries([...own, ...added]);
}

/** Values that the operator's custom resource definition or webhook sets, or the runtime, where a file says nothing. */
const SET_BY_OTHERS = [
  "Cluster.spec.backup.volumeSnapshot.online=true",
  'Cluster.spec.backup.volumeSnapshot.snapshotOwnerReference="none"',
  'ConfigMap.data.pgbackstop.json.drill.declared.weekly.level="thorough"',
  "ConfigMap.data.pgbackstop.json.drill.declared.weekly.maxMinutes=1440",
];

/** Each value of `set` that is missing or another one in `usual`, and each that is only there. */
function differences(usual: unknown, set: unknown, path: string): string[] {
  const [before, after] = [usual, set].map((value) =>
    path.endsWith(".json") && typeof value === "string" ? (JSON.parse(value) as unknown) : value,
  );
  if (typeof after !== "object" || after === null)
    return before === after ? [] : [`${path}=${JSON.stringify(after ?? null)}`];
  const from = (typeof before === "object" && before !== null ? before : {}) as Fields;
  const names = new Set([...Object.keys(from), ...Object.keys(after)]);
  return [...names].flatMap((name) => differences(from[name], (after as Fields)[name], `${path}.${name}`));
}

test("every default that is set by hand gives the same objects, apart from what others set to the same value", () => {
  const render = (file: object): ReturnType<typeof renderGitops> => renderGitops(file, BUNDLE, true);
  const usual = render(FILE);
  const set = render(withDefaults(FILE, SCHEMA, "") as object);
  const errorsOf = ({ findings }: typeof usual): string[] =>
    findings.filter(({ severity }) => severity === "error").map(findingText);
  expect(errorsOf(usual)).toEqual([]);
  expect(errorsOf(set)).toEqual([]);
  expect(filled).toEqual(expect.arrayContaining(["clusters.orders.processMax", "plugin.replicas"]));
  expect(set.manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual(
    usual.manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`),
  );
  const added = set.manifests.flatMap((object, index) => differences(usual.manifests[index], object, object.kind));
  expect([...new Set(added)].toSorted()).toEqual(SET_BY_OTHERS);
});
