/** Which Node.js of earlier updates is removed. test/hosts/bare.test.ts installs a real one. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { removeOldNodes } from "../../../components/host/installPrograms";
import { connectLocally } from "../../../components/host/localConnection";

const connection = connectLocally();
let lib: string;
beforeAll(() => {
  lib = mkdtempSync(join(tmpdir(), "programs-"));
});
beforeEach(() => {
  for (const name of readdirSync(lib)) rmSync(join(lib, name));
});
afterAll(async () => {
  await connection.close();
  rmSync(lib, { recursive: true, force: true });
});

/** What stays of `nodePaths` in the state, and in the folder. @param release of the package now */
const removed = async (
  nodePaths: readonly string[],
  release: string,
  command = "node",
): Promise<{ readonly paths: string[]; readonly files: string[] }> => {
  const outcome = { nodePaths: nodePaths.map((name) => join(lib, name)) };
  const bringsNode = { path: join(lib, "node"), look: ["/usr/bin/node"], file: join(lib, release) };
  const runtimeArgv = [join(lib, command), join(lib, "runtime.cjs")];
  await removeOldNodes(connection, command === "node" ? { bringsNode, runtimeArgv } : { runtimeArgv }, outcome);
  return { paths: outcome.nodePaths.map((path) => path.slice(lib.length + 1)), files: readdirSync(lib).toSorted() };
};

// claim: docs/hosts/updates.md: a downloaded release stays while it is good enough
test("the release that the link leads to stays, and goes once the link leads elsewhere", async () => {
  for (const name of ["node-24.16.0", "node-22.15.0"]) writeFileSync(join(lib, name), "");
  symlinkSync(join(lib, "node-24.16.0"), join(lib, "node"));
  const all = ["node", "node-24.16.0", "node-22.15.0"];
  expect(await removed(all, "node-24.17.0")).toEqual({
    paths: ["node", "node-24.16.0"],
    files: ["node", "node-24.16.0"],
  });
  expect(readlinkSync(join(lib, "node"))).toBe(join(lib, "node-24.16.0"));
  writeFileSync(join(lib, "node-24.17.0"), "");
  rmSync(join(lib, "node"));
  symlinkSync(join(lib, "node-24.17.0"), join(lib, "node"));
  expect(await removed(["node", "node-24.16.0", "node-24.17.0"], "node-24.17.0")).toEqual({
    paths: ["node", "node-24.17.0"],
    files: ["node", "node-24.17.0"],
  });
});

test("a program of ours that nodePath names now stays", async () => {
  for (const name of ["node-24.16.0", "node-22.15.0"]) writeFileSync(join(lib, name), "");
  expect(await removed(["node-24.16.0", "node-22.15.0"], "", "node-24.16.0")).toEqual({
    paths: ["node-24.16.0"],
    files: ["node-24.16.0"],
  });
});

test("a release that others need stays on record", async () => {
  for (const name of ["node-24.16.0", "node-22.15.0"]) writeFileSync(join(lib, name), "");
  const outcome = { nodePaths: [join(lib, "node-24.16.0"), join(lib, "node-22.15.0")] };
  const neededOf = async (): Promise<string[]> => [join(lib, "node-22.15.0")];
  await removeOldNodes(connection, { runtimeArgv: ["/usr/bin/node"] }, outcome, neededOf);
  expect([outcome.nodePaths, readdirSync(lib)]).toEqual([[join(lib, "node-22.15.0")], ["node-22.15.0"]]);
});
