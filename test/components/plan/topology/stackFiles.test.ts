/**
 * Topologies from files that Pulumi writes: shapes, hidden values, clear errors. test/engine/topology.test.ts reads
 * files of the real engine.
 */
// claim: docs/topology.md: comparable files, exit codes, secrets
import { describe, expect, test } from "vitest";
import { parseStackFile } from "../../../../components/plan/topology/stackFiles";
import { isSecret, isUnknown } from "../../../../components/plan/model/unknown";
import { diffTopologies, type TopologySet, weakenedOf } from "../../../../components/plan/diff";
import { type Topology, topologyOf } from "../../../../components/plan/topology/topology";
import { renderShown } from "../../../../components/render/topology/show";
import { renderMarkdown } from "../../../../components/render/topology/topologyMarkdown";
import { PLUGIN_NAME } from "../../../../runtime/cnpg/names";
import { clusterPlan } from "../../plans";
import { topology } from "../../topologies";

const TYPE = "pgbackstop:index:PostgresHost";
const urn = (name: string, type = TYPE): string => `urn:pulumi:prod::shop::${type}::${name}`;
const state = (inputs: object, type = TYPE): object => ({ type, custom: false, inputs });
const step = (op: string, name: string, before: object | null, after: object | null, type = TYPE): object => ({
  op,
  urn: urn(name, type),
  ...(before === null ? {} : { oldState: state({ topology: before }, type) }),
  ...(after === null ? {} : { newState: state({ topology: after }, type) }),
});
const preview = (steps: readonly object[], diagnostics: readonly object[] = []): string =>
  JSON.stringify({ steps, diagnostics, changeSummary: {} });
const failureOf = (text: string): string => {
  try {
    parseStackFile(text);
    return "no error";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};

describe("a preview", () => {
  test("has both sides of each of our components, and no others", () => {
    const file = parseStackFile(
      preview([
        step("update", "ledger", topology(), topology({ stanza: "other" })),
        step("create", "orders", null, topology({}, "orders")),
        step("delete", "old", topology({}, "old"), null),
        step("same", "bucket", topology(), topology(), "acme:index:Bucket"),
        {
          op: "create",
          urn: urn("nas", "pgbackstop:index:PosixRepository"),
          newState: state({ path: "/mnt/nas" }, "pgbackstop:index:PosixRepository"),
        },
      ]),
    );
    expect([[...(file.before ?? [])].map(([name]) => name), [...file.after].map(([name]) => name)]).toEqual([
      ["ledger", "old"],
      ["ledger", "orders"],
    ]);
    expect(file.after.get("ledger")).toEqual(topology({ stanza: "other" }));
  });

  test("turns the engine's hidden values into markers", () => {
    const one = topology();
    const [first, second] = one.repositories;
    const hidden = {
      ...one,
      repositories: [
        { ...first, location: "[secret]", keepDays: "3eeb2bf0-c639-47a8-9e75-3b44932eb421" },
        {
          ...second,
          provider: "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
          failureDomain: {
            "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
            plaintext: '"s3.secret.example"',
          },
        },
      ],
    };
    const read = parseStackFile(preview([step("create", "ledger", null, hidden)])).after.get("ledger");
    const [nas, bucket] = read?.repositories ?? [];
    expect([
      isSecret(nas?.location),
      isUnknown(nas?.keepDays),
      isUnknown(bucket?.provider),
      isSecret(bucket?.failureDomain),
    ]).toEqual([true, true, true, true]);
    expect(JSON.stringify(read)).not.toContain("s3.secret.example");
  });

  test("a secret number hides itself only", () => {
    const secret = { ...topology(), objectives: { rpoSeconds: "[secret]" } };
    const read = parseStackFile(preview([step("create", "ledger", null, secret)])).after.get("ledger");
    expect(isSecret(read?.objectives.rpoSeconds)).toBe(true);
  });

  test("an unknown topology, or list of it, hides the rest", () => {
    const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
    const steps = [
      step("create", "ledger", null, { ...topology(), repositories: unknown }),
      { op: "create", urn: urn("orders"), newState: state({ topology: unknown }) },
    ];
    expect([...parseStackFile(preview(steps)).after.values()]).toEqual([null, null]);
  });

  test("shows its findings, without their text if it may contain a secret", () => {
    const logged = {
      urn: urn("ledger"),
      severity: "warning",
      message: "warning: PB031 repositories.repo1.at.requireMount: nothing demands a mount\n",
    };
    expect(parseStackFile(preview([step("create", "ledger", null, topology())], [logged])).findings).toEqual([
      {
        database: "ledger",
        code: "PB031",
        path: "repositories.repo1.at.requireMount",
        message: "nothing demands a mount",
      },
    ]);
    const one = topology();
    const secret = {
      ...one,
      repositories: one.repositories.map((repository) => ({ ...repository, location: "[secret]" })),
    };
    expect(parseStackFile(preview([step("create", "ledger", null, secret)], [logged])).findings).toEqual([
      { database: "ledger", code: "PB031", path: "repositories.repo1.at.requireMount" },
    ]);
  });

  // claim: docs/topology.md: a preview without its unchanged resources is refused
  test("without its unchanged resources is refused: they would look removed or new", () => {
    const root = { op: "same", urn: "urn:pulumi:prod::shop::pulumi:pulumi:Stack::shop-prod" };
    const steps = [root, step("create", "orders", null, topology({}, "orders"))];
    const withSummary = (changeSummary: object, more: readonly object[] = []): string =>
      JSON.stringify({ steps: [...steps, ...more], diagnostics: [], changeSummary });
    expect(failureOf(withSummary({ create: 1, same: 3 }))).toBe(
      "the preview omits 2 unchanged resources: run pulumi preview with --json --show-sames",
    );
    expect(failureOf(withSummary({ create: 1, same: 2 }))).toContain("omits 1 unchanged resource:");
    const all = withSummary({ create: 1, same: 2 }, [step("same", "ledger", topology(), topology())]);
    expect([...parseStackFile(all).after.keys()]).toEqual(["orders", "ledger"]);
    expect(failureOf(withSummary({ create: 1, same: 1 }))).toBe("no error");
  });

  test("that failed is refused: unreached resources would look removed", () => {
    expect(
      failureOf(
        preview([step("update", "ledger", topology(), topology())], [{ severity: "error", message: "PB020 secret" }]),
      ),
    ).toBe("the preview failed, so it is incomplete: fix what its diagnostics name first");
  });
});

test("a stack export has one side, without resources that wait for deletion", () => {
  const resources = [
    { ...state({ topology: topology() }), urn: urn("ledger") },
    { ...state({ topology: topology() }), urn: urn("gone"), delete: true },
    { urn: urn("x", "aws:s3/bucket:Bucket"), type: "aws:s3/bucket:Bucket" },
  ];
  const file = parseStackFile(JSON.stringify({ version: 3, deployment: { resources } }));
  expect([file.kind, file.before, [...file.after.keys()]]).toEqual(["export", null, ["ledger"]]);
  expect(parseStackFile(JSON.stringify({ version: 3, deployment: {} })).after.size).toBe(0);
});

const ORDERS = "pgbackstop:index:CnpgCluster";
const ARCHIVER = { name: PLUGIN_NAME, isWALArchiver: true };
const OTHER = { name: "other.example", isWALArchiver: true };

function clusterState(spec: object, live: object = spec, more: object = {}): object {
  const type = "kubernetes:postgresql.cnpg.io/v1:Cluster";
  return {
    type,
    urn: urn("orders-cluster", type),
    parent: urn("orders", ORDERS),
    inputs: { spec },
    outputs: { spec: live },
    ...more,
  };
}

// claim: docs/topology.md: a Cluster of the stack whose archiver is gone gets no WAL
describe("a Cluster without its archiver", () => {
  const declared = JSON.parse(JSON.stringify(topologyOf(clusterPlan()))) as Topology;
  const walOf = (topologies: TopologySet | null): readonly number[] | undefined =>
    topologies?.get("orders")?.flows.find(({ kind }) => kind === "wal")?.toRepoKeys;
  const exported = (...clusters: readonly object[]): TopologySet => {
    const own = { ...state({ topology: declared }, ORDERS), urn: urn("orders", ORDERS) };
    return parseStackFile(JSON.stringify({ version: 3, deployment: { resources: [own, ...clusters] } })).after;
  };

  test("gets no WAL in a state, as the API server last answered", () => {
    expect(walOf(exported(clusterState({ plugins: [ARCHIVER] })))).toEqual([1, 2]);
    for (const plugins of [[], [{ ...ARCHIVER, enabled: false }], [OTHER]])
      expect(walOf(exported(clusterState({ plugins: [ARCHIVER] }, { plugins })))).toEqual([]);
    const diff = diffTopologies(exported(), exported(clusterState({})));
    expect(weakenedOf(diff).map(({ path }) => path)).toEqual(["wal.repo1", "wal.repo2", "worstCaseRpoSeconds"]);
  });

  test("counts as declared where the state does not tell", () => {
    for (const cluster of [
      clusterState({ plugins: "[secret]" }),
      clusterState({}, {}, { delete: true }),
      clusterState({}, {}, { parent: urn("legacy", ORDERS) }),
    ])
      expect(walOf(exported(cluster))).toEqual([1, 2]);
  });

  test("gets it again by an update that brings the archiver back", () => {
    const file = parseStackFile(
      preview([
        step("same", "orders", declared, declared, ORDERS),
        { op: "update", oldState: clusterState({}, {}), newState: clusterState({ plugins: [ARCHIVER] }, {}) },
      ]),
    );
    expect([walOf(file.before), walOf(file.after)]).toEqual([[], [1, 2]]);
  });
});

test("components of one name are distinguished by type, then by their whole URN", () => {
  const steps = [
    step("create", "ledger", null, topology()),
    step("create", "ledger", null, topology(), "pgbackstop:index:CnpgCluster"),
    step("create", "orders", null, topology()),
  ];
  expect([...parseStackFile(preview(steps)).after.keys()]).toEqual([
    "PostgresHost ledger",
    "CnpgCluster ledger",
    "orders",
  ]);
});

test("a saved document, and the output of one database", () => {
  expect([...parseStackFile(JSON.stringify({ version: 1, topologies: { a: topology(), b: null } })).after]).toEqual([
    ["a", topology()],
    ["b", null],
  ]);
  expect([...parseStackFile(JSON.stringify(topology())).after]).toEqual([["ledger", topology()]]);
});

test.each([
  ["", "the file is empty"],
  [
    "Previewing update (prod):",
    "this is not JSON: run pulumi preview with --json --show-sames, and save its stdout only",
  ],
  [
    '{"sequence":0}\n{"sequence":1}\n',
    "this is a stream of events, one JSON object a line: unset PULUMI_ENABLE_STREAMING_JSON_PREVIEW for pulumi preview --json --show-sames",
  ],
  ["[1]", "this JSON is not an object"],
  [
    '{"resources":[]}',
    "this JSON is not a pulumi preview --json --show-sames, a pulumi stack export or a saved topology",
  ],
  ['{"version":9,"deployment":{}}', "a stack export of version 9 is not supported: only 3 and 4 are"],
  [
    '{"version":2,"topologies":{}}',
    "the document: version 2 of the topology is unknown, only 1 is supported: use the pgbackstop that wrote it",
  ],
  [
    JSON.stringify({ version: 1, topologies: { a: { ...topology(), version: 7 } } }),
    "a: version 7 of the topology is unknown, only 1 is supported: use the pgbackstop that wrote it",
  ],
  [
    JSON.stringify({ version: 1, topologies: { a: { version: 1 } } }),
    "a: databases: it is required, and not given: save it again as pulumi or pgbackstop prints it",
  ],
  [
    JSON.stringify({ version: 1, topologies: { a: { ...topology(), databases: [] } } }),
    "a: a topology has one database, this one has 0: save it again as pulumi or pgbackstop prints it",
  ],
  [
    JSON.stringify({ version: 1, topologies: { a: { ...topology(), schedules: [{ name: "full" }] } } }),
    "a: schedules[0].type: it is required, and not given: save it again as pulumi or pgbackstop prints it",
  ],
  [
    JSON.stringify({
      version: 1,
      topologies: { a: { ...topology(), repositories: [{ ...topology().repositories[0], key: 2 }] } },
    }),
    "a: repository repo1 has the key 2: save it again as pulumi or pgbackstop prints it",
  ],
  ['{"version":3,"deployment":{"resources":{}}}', "the stack export's resources are not a list"],
])("%.40s is refused: %s", (text, message) => {
  expect(failureOf(text)).toBe(message);
});

describe("a topology with any value", () => {
  const full = topology({
    drills: { weekly: { cron: "0 5 * * 6" } },
    objectives: { rpoSeconds: 300 },
    silence: { PB042: "a test" },
    acknowledgeWeaker: { "repositories.repo1.keepDays=7": "a test" },
    drillChecks: { heartbeat: { sql: "select 1" }, assertions: [{ name: "a", sql: "select 1" }] },
  });
  const before = parseStackFile(JSON.stringify(full)).after;

  test.each(pathsOf(full))("at %s is refused by its path, or compared", (path) => {
    for (const value of [undefined, null, "", "50Gi", 0, 1e300, true, [], [null], {}, { x: 1 }]) {
      const text = JSON.stringify({ version: 1, topologies: { a: withValue(full, path.split("."), value) } });
      const failure = failureOf(text);
      if (failure !== "no error") {
        expect(failure).toMatch(/^a: .+: (save it again|use the pgbackstop)|^a: the topology is missing$/);
        continue;
      }
      const { after } = parseStackFile(text);
      expect(renderMarkdown(diffTopologies(before, after), [], [], {})).toContain("\n");
      expect(renderShown(after)).toContain("\n");
    }
  });

  test("a number with a unit is not compared as a number", () => {
    const [first] = full.repositories;
    const repositories = [{ ...first, keepDays: "50d" }];
    expect(failureOf(JSON.stringify({ version: 1, topologies: { a: { ...full, repositories } } }))).toContain(
      'a: repositories[0].keepDays: it is the text "50d", and must be a number',
    );
  });
});

/** Of every value in it. */
function pathsOf(value: unknown, path = ""): string[] {
  const below = typeof value === "object" && value !== null ? Object.entries(value) : [];
  return below.flatMap(([key, item]) => {
    const own = path === "" ? key : `${path}.${key}`;
    return [own, ...pathsOf(item, own)];
  });
}

function withValue(whole: unknown, [key = "", ...rest]: readonly string[], value: unknown): unknown {
  const part = Object.entries(whole as object).find(([name]) => name === key)?.[1] as unknown;
  const changed = rest.length === 0 ? value : withValue(part, rest, value);
  if (Array.isArray(whole)) return whole.with(Number(key), changed);
  return { ...(whole as object), [key]: changed };
}
