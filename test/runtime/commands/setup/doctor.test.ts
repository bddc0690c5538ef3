import { beforeEach, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { doctorCommand } from "../../../../runtime/commands/setup/doctor";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { repository, temporaryFolder } from "../../repository/support";
import { host, type TestHost } from "../support";

let second: FaultyStorage;
let repos: Repository[];

beforeEach(() => {
  second = new FaultyStorage(new MemoryStorage({ name: "s3://second" }));
  repos = [repository(1), repository(2, { storage: second, pass: "second" })];
});

function make(...argv: string[]): TestHost {
  return host({ argv: ["doctor", ...argv], repos, ctx: testContext(), folder: temporaryFolder() });
}

test("reports each repository's abilities, a line each", async () => {
  const asked = make();
  expect(await doctorCommand(asked)).toBe(0);
  const text = asked.printed.join("");
  expect(text).toContain("repo2: s3://second\n  ok   list: the repository can be listed\n  ok   write:");
  expect(text.match(/^repo\d/gm)).toEqual(["repo1", "repo2"]);
});

test("one failing repository is an error with its reason, and the other one is still reported", async () => {
  second.plan("put", { kind: "error", error: fail("access", "the key may not write") });
  const asked = make("--output=json");
  await expect(doctorCommand(asked)).rejects.toMatchObject({
    exitCode: 104,
    message: expect.stringContaining("repo2: [AccessError] the key may not write"),
  });
  const { repos: reported } = JSON.parse(asked.printed.join("")) as {
    repos: { key: number; ok: boolean; facts: object[] }[];
  };
  expect(reported.map(({ key, ok }) => [key, ok])).toEqual([
    [1, true],
    [2, false],
  ]);
  expect(reported[1]?.facts).toContainEqual({ name: "write", verdict: "fail", text: "the key may not write" });
});
