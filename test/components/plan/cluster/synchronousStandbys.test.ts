/**
 * `postgresql.synchronous` of a cluster whose commits wait for repositories, judged by what PostgreSQL then waits for:
 * the operator's list of names and PostgreSQL's rule are written down here again.
 */
// claim: docs/synchronous.md: no matter who is connected, a cluster's commit waits for the receiver and for every
//   standby that the user's setting requires; what one setting cannot say is refused
import { expect, test } from "vitest";
import { synchronousField } from "../../../../components/plan/cluster/synchronousStandbys";
import type { DeclaredCluster } from "../../../../components/plan/cluster/declaredCluster";
import { DeferredRead } from "../../../../components/plan/model/deferred";
import { isReceiverRequired } from "../../../../runtime/operations/stream/standbyNames";
import { resolved } from "../../clusters";

interface Field {
  readonly method: "first" | "any";
  readonly number: number;
  readonly maxStandbyNamesFromCluster?: number;
  readonly standbyNamesPre?: readonly string[];
  readonly standbyNamesPost?: readonly string[];
}

const own = (synchronous: object | null, more: Partial<DeclaredCluster> = {}): Partial<DeclaredCluster> => ({
  streaming: { synchronous: "any" },
  spec: { postgresql: { synchronous } },
  ...more,
});
const fieldOf = (over: Partial<DeclaredCluster>): ReturnType<typeof synchronousField> =>
  synchronousField(resolved(over));

/** Well standbys first, the primary last (CloudNativePG 1.30, getSortedInstanceNames). */
function listOf(field: Field, instances: number): string[] {
  const pods = [...Array.from({ length: instances - 1 }, (_each, index) => `orders-${index + 2}`), "orders-1"];
  const most = field.maxStandbyNamesFromCluster ?? pods.length;
  return [...(field.standbyNamesPre ?? []), ...pods.slice(0, most), ...(field.standbyNamesPost ?? [])];
}

/** True if PostgreSQL acknowledges a commit that these connected standbys hold, and no other connected one. */
function isAcknowledged(
  field: Field,
  list: readonly string[],
  connected: readonly string[],
  holders: readonly string[],
) {
  const there = list.filter((name) => connected.includes(name));
  if (there.length < field.number) return false;
  const held = field.method === "any" ? there : there.slice(0, field.number);
  return held.filter((name) => holders.includes(name)).length >= field.number;
}

function subsetsOf(names: readonly string[]): string[][] {
  return names.reduce<string[][]>((sets, name) => [...sets, ...sets.map((set) => [...set, name])], [[]]);
}

test("commits wait for the repositories alone, or for standbys too", () => {
  expect(fieldOf({ streaming: { synchronous: "any" } })).toEqual({
    isSayable: true,
    standbys: 0,
    field: {
      method: "first",
      number: 1,
      maxStandbyNamesFromCluster: 0,
      standbyNamesPre: ["pgbackstop"],
      dataDurability: "required",
    },
  });
  expect(fieldOf({ streaming: { synchronous: "any", standbys: 2 } })).toMatchObject({
    standbys: 2,
    field: { method: "first", number: 3, maxStandbyNamesFromCluster: 2, standbyNamesPre: ["pgbackstop"] },
  });
});

test("the user's own setting keeps its other fields", () => {
  const field = { method: "first", number: 2, standbyNamesPre: ["elsewhere"], failoverQuorum: true };
  expect(fieldOf(own(field))).toMatchObject({
    standbys: 2,
    field: {
      method: "first",
      number: 3,
      maxStandbyNamesFromCluster: 1,
      standbyNamesPre: ["pgbackstop", "elsewhere"],
      failoverQuorum: true,
    },
  });
});

test("whatever is connected, a commit waits for the receiver and for whom the user's setting requires", () => {
  let sayable = 0;
  for (const instances of [1, 2, 3])
    for (const method of ["first", "any"] as const)
      for (const number of [1, 2, 3])
        for (const most of [undefined, 0, 1, 2])
          for (const before of [[], ["x"]])
            for (const after of [[], ["y"]]) {
              const field = {
                method,
                number,
                ...(most === undefined ? {} : { maxStandbyNamesFromCluster: most }),
                standbyNamesPre: before,
                standbyNamesPost: after,
              };
              const result = fieldOf(own(field, { instances }));
              if (!result.isSayable) continue;
              sayable++;
              const ours = result.field as Field;
              const list = listOf(ours, instances);
              expect(isReceiverRequired(`FIRST ${ours.number} (${list.map((name) => `"${name}"`).join(", ")})`)).toBe(
                true,
              );
              // The operator's webhook.
              const names = [...(ours.standbyNamesPre ?? []), ...(ours.standbyNamesPost ?? [])];
              expect(ours.number).toBeLessThan(instances + names.length);
              const standbys = [
                "pgbackstop",
                "x",
                "y",
                ...listOf({ ...field, standbyNamesPre: [], standbyNamesPost: [] }, instances),
              ];
              const others = [...new Set(standbys)].filter((name) => name !== "orders-1");
              for (const connected of subsetsOf(others))
                for (const holders of subsetsOf(connected)) {
                  if (!isAcknowledged(ours, list, connected, holders)) continue;
                  expect(holders).toContain("pgbackstop");
                  expect([
                    field,
                    connected,
                    holders,
                    isAcknowledged(field, listOf(field, instances), connected, holders),
                  ]).toEqual([field, connected, holders, true]);
                }
            }
  expect(sayable).toBeGreaterThan(10);
});

test.each([
  ["some of several", own({ method: "any", number: 1 }), /some of several standbys \(any 1\)/],
  ["names behind alternatives", own({ method: "first", number: 1, standbyNamesPost: ["x"] }), /some of several/],
  ["preferred durability", own({ method: "first", number: 1, dataDurability: "preferred" }), /preferred/],
  ["its own receiver", own({ method: "first", number: 1, standbyNamesPre: ["PgBackstop"] }), /adds pgbackstop/],
  ["anybody", own({ method: "first", number: 1, standbyNamesPre: ["*"] }), /would match/],
  ["more than there are", own({ method: "first", number: 3 }), /3 standbys must answer, and it lists 2/],
  ["a number that is not whole", own({ method: "first", number: 1.5 }), /must be whole/],
  [
    "two settings",
    own({ method: "first", number: 1 }, { streaming: { synchronous: "any", standbys: 1 } }),
    /says which/,
  ],
  ["no instance for a standby", { instances: 1, streaming: { synchronous: "any", standbys: 1 } } as const, /1 of 1/],
  [
    "the operator's old setting",
    { streaming: { synchronous: "any" }, spec: { maxSyncReplicas: 1 } } as const,
    /maxSyncReplicas/,
  ],
])("one setting cannot say %s", (_what, over, fact) => {
  expect(fieldOf(over)).toMatchObject({ isSayable: false, fact: expect.stringMatching(fact) as string });
});

test.each([
  ["a number", own({ method: "first", number: "\u0000unknown:0\u0000" })],
  [
    "all of it",
    {
      streaming: { synchronous: "any" },
      spec: { postgresql: "\u0000unknown:0\u0000" },
    } as const,
  ],
])("one that comes later is judged when it is known: %s", (_what, args) => {
  expect(() => fieldOf(args)).toThrow(DeferredRead);
});
