import { describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import type { RepoResult } from "../../../../runtime/base/parallel";
import { decide, isSatisfied } from "../../../../runtime/operations/archivePush/acknowledge";
import type { AcknowledgePolicy } from "../../../../runtime/config/types";

const KEYS = [1, 2, 3];
const subsets = <T>(items: readonly T[]): T[][] =>
  items.reduce<T[][]>((sets, item) => [...sets, ...sets.map((set) => [...set, item])], [[]]);

const POLICIES: AcknowledgePolicy[] = [
  { mode: "all", repoIndexes: [] },
  { mode: "any", repoIndexes: [] },
  // repo9 is never configured.
  ...subsets([...KEYS, 9]).map((repoIndexes): AcknowledgePolicy => ({ mode: "named", repoIndexes })),
];

describe("the acknowledgement policy, for every policy, set of repositories and set of holders", () => {
  const cases = POLICIES.flatMap((policy) =>
    subsets(KEYS).flatMap((configured) => subsets(configured).map((holding) => ({ policy, configured, holding }))),
  );

  it("follows its definition", () => {
    for (const { policy, configured, holding } of cases) {
      const has = (key: number): boolean => holding.includes(key);
      const lawful = {
        all: configured.filter(has).length === configured.length,
        any: configured.some(has),
        named: policy.repoIndexes.length > 0 && policy.repoIndexes.filter(has).length === policy.repoIndexes.length,
      }[policy.mode];
      const results = configured.map(
        (repoIndex): RepoResult<string> =>
          has(repoIndex)
            ? { repoIndex, ok: true, value: "pushed" }
            : { repoIndex, ok: false, error: fail("service", "x") },
      );
      const name = JSON.stringify({ policy, configured, holding });
      expect(isSatisfied(policy, configured, new Set(holding)), name).toBe(lawful);
      expect(decide(policy, results), name).toEqual({
        accepted: lawful,
        reposBehind: lawful ? configured.filter((key) => !has(key)) : [],
      });
    }
    expect(cases.length).toBeGreaterThan(400);
  });

  it("never acknowledges a file that a required repository lacks, and reports none as missing when all hold it", () => {
    for (const { policy, configured, holding } of cases) {
      const accepted = isSatisfied(policy, configured, new Set(holding));
      if (accepted && policy.mode === "named")
        expect(policy.repoIndexes.every((key) => holding.includes(key))).toBe(true);
      if (accepted && configured.length > 0) expect(holding.length).toBeGreaterThan(0);
    }
  });
});
