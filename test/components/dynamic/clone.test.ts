/** The methods of a clone that need no host. */
import { expect, test } from "vitest";
import { type CloneInputs, type CloneOutputs, diff, read } from "../../../components/dynamic/clone";
import { UNKNOWN } from "../../../components/dynamic/previewValues";
import type { CloneSpec } from "../../../components/dynamic/cloneOnHost";

const spec: CloneSpec = {
  name: "pr-123",
  directory: "/srv/clones",
  target: "",
  repoIndex: 0,
  databases: ["shop"],
  mask: [],
  role: "clone",
  listen: "127.0.0.1",
  allow: [],
  lifetimeHours: 24,
  binDirectory: "",
  cacheGiB: 0,
};
const inputs: CloneInputs = { connection: { local: {} }, argv: ["pgbackstop"], spec };
const END = Date.UTC(2026, 10, 28);
const state: CloneOutputs = {
  password: "secret",
  status: {
    at: "/srv/clones/pr-123-0a",
    presence: "up",
    backup: "20261120-020000F",
    repo: "repo1",
    databases: ["shop"],
    dataTime: "2026-11-27T00:00:00.000Z",
    dataAgeS: 1,
    diskBytes: 2,
    fetchedBytes: 3,
    totalBytes: 4,
    endsAt: new Date(END).toISOString(),
    port: 40_000,
  },
  kept: inputs,
  keptSignIn: [],
};
const judged = async (
  news: object = {},
  olds: Partial<CloneOutputs> = {},
  nowMs = END - 1,
): Promise<{ changes: boolean; replaces: string[] }> =>
  diff("id", { ...state, ...olds }, { ...inputs, ...news }, nowMs);

// claim: docs/clones.md: another `at` moves a clone
test("another state, host or end is a change; only another host is another clone", async () => {
  expect(await judged()).toEqual({ changes: false, replaces: [], deleteBeforeReplace: false });
  expect(await judged({ spec: { ...spec, target: "2026-11-20 06:40:00+00" } })).toMatchObject({
    changes: true,
    replaces: [],
  });
  expect(await judged({ spec: UNKNOWN })).toMatchObject({ changes: true, replaces: [] });
  expect(await judged({}, { status: { ...state.status, presence: "down" } })).toMatchObject({ changes: true });
  expect(await judged({}, {}, END)).toMatchObject({ changes: true, replaces: [] });
  const elsewhere = { ssh: { host: "db2", port: 22, user: "root", sudo: false, hostKeys: [], knownHostsFiles: [] } };
  expect(await judged({ connection: elsewhere })).toMatchObject({ changes: true, replaces: ["connection"] });
});

test("cannot be imported", async () => {
  await expect(read("id", {})).rejects.toThrow("cannot be imported");
});
