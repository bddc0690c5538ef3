// claim: README.md: exit 104 and a line for each repository that failed
import { describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import type { RepoResult } from "../../../../runtime/base/parallel";
import { combinedError, policyError, repoErrorLine } from "../../../../runtime/operations/shared/results";

const good = (repoIndex: number): RepoResult<null> => ({ repoIndex, ok: true, value: null });
const bad = (repoIndex: number, hint: string): RepoResult<null> => ({
  repoIndex,
  ok: false,
  error: fail("access", `refused ${repoIndex}`, { hint }),
});

describe("the outcome of a verb over several repositories", () => {
  it("is fine when all are", () => {
    expect(combinedError("check", [good(1), good(2)])).toBeNull();
    expect(combinedError("check", [])).toBeNull();
  });

  it("is the error itself with one repository", () => {
    const result = bad(1, "a");
    expect(combinedError("check", [result])).toBe(result.ok ? null : result.error);
  });

  it("is 104 with a line per failed repository when some fail, each hint once", () => {
    expect(combinedError("check", [bad(1, "check the key."), good(2), bad(3, "check the key.")])).toMatchObject({
      kind: "command",
      exitCode: 104,
      message: "check command encountered error(s):\nrepo1: [AccessError] refused 1\nrepo3: [AccessError] refused 3",
      hints: ["check the key."],
    });
  });

  it("is 103 when all fail", () => {
    expect(combinedError("check", [bad(1, "a"), bad(2, "b")])).toMatchObject({
      kind: "repoInvalid",
      exitCode: 103,
      message: "unable to find a valid repository\nrepo1: [AccessError] refused 1\nrepo2: [AccessError] refused 2",
      hints: ["a", "b"],
    });
  });

  it("is fine for a judging verb as long as the healthy ones satisfy the policy", () => {
    const some = [good(1), bad(2, "a")];
    expect(policyError("check", some, { mode: "any", repoIndexes: [] })).toBeNull();
    expect(policyError("check", some, { mode: "named", repoIndexes: [1] })).toBeNull();
    expect(policyError("check", some, { mode: "named", repoIndexes: [1, 2] })).toMatchObject({ exitCode: 104 });
    expect(policyError("check", some, { mode: "all", repoIndexes: [] })).toMatchObject({ exitCode: 104 });
    expect(policyError("check", [bad(1, "a"), bad(2, "b")], { mode: "any", repoIndexes: [] })).toMatchObject({
      exitCode: 103,
    });
    // `--repo` selects one repository. A policy that names another one does not apply to it.
    expect(policyError("info", [good(2)], { mode: "named", repoIndexes: [1] })).toBeNull();
    expect(policyError("info", [bad(2, "a")], { mode: "any", repoIndexes: [] })).toMatchObject({ kind: "access" });
  });

  it("has stock's line for a repository", () => {
    expect(repoErrorLine(2, fail("hostConnect", "unable to connect"))).toBe(
      "repo2: [HostConnectError] unable to connect",
    );
  });
});
