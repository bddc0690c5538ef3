/** Another machine at the same address. test/hosts/converge.test.ts has the updates. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectLocally } from "../../../components/host/localConnection";
import { isOtherMachine } from "../../../components/host/hostOwners";
import { machineIdIn } from "../../../components/host/state";

const [ID, OTHER] = ["0".repeat(32), "1".repeat(32)];
let folder: string;
let path: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "machine-"));
  path = join(folder, "owners");
  writeFileSync(path, `${JSON.stringify({ owner: "mine", declared: {}, archives: true })}\n`);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const isOther = (machineId: string | undefined, now: string, owner = "new", at = path): Promise<boolean> => {
  const known = { ownersPaths: [at, undefined], owners: [owner, undefined] };
  return isOtherMachine(connectLocally(), machineId === undefined ? known : { ...known, machineId }, now);
};

test("a machine with another id that knows nothing of the component is another one", async () => {
  expect(await isOther(ID, OTHER)).toBe(true);
  expect(await isOther(ID, OTHER, "mine", join(folder, "missing"))).toBe(true);
});

test.each([
  ["the same id", ID, ID, "new"],
  ["a state without an id", undefined, OTHER, "new"],
  ["a machine without an id", ID, "", "new"],
  ["a machine that got another id: its record names the component", ID, OTHER, "mine"],
])("%s is the same machine", async (_name, machineId, now, owner) => {
  expect(await isOther(machineId, now, owner)).toBe(false);
});

test("any other text is no id", () => {
  expect(machineIdIn(`${ID}\n`)).toBe(ID);
  for (const text of ["", "uninitialized\n", `${ID}0`]) expect(machineIdIn(text)).toBe("");
});
