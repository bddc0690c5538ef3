import { expect, test } from "vitest";
import { utf8 } from "../../../../runtime/base/bytes";
import { fail } from "../../../../runtime/base/errors";
import { removeRemains } from "../../../../runtime/operations/dump/dumpRemains";
import { testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { testLease } from "../../../harness/leases";
import { FaultyStorage } from "../../../harness/network/faults";
import { repository } from "../../repository/support";

const ROOT = "pgbackstop/demo/dump";
const [DEAD, WHOLE] = ["20261120-064059Z-1a2b3c4d", "20261119-064059Z-1a2b3c4d"];

async function remains(): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  for (const path of [`${DEAD}/shop.dump`, `${WHOLE}/shop.dump`, `${WHOLE}/dump.manifest`])
    await storage.put(`${ROOT}/${path}`, utf8("x"));
  return storage;
}

const whole = [`${ROOT}/${WHOLE}/dump.manifest`, `${ROOT}/${WHOLE}/shop.dump`];

test("removes what a killed dump left, and no dump whose manifest the listing hides", async () => {
  const storage = await remains();
  await storage.put(`${ROOT}/${DEAD}/globals.sql`, utf8("x"));
  const list = storage.list.bind(storage);
  storage.list = async function* (path, options) {
    for await (const entry of list(path, options)) if (!entry.path.endsWith("/dump.manifest")) yield entry;
  };
  await removeRemains(repository(1, { storage }), testLease(), testContext());
  expect(storage.paths()).toEqual(whole);
});

test("removes nothing after the lease was lost", async () => {
  const storage = await remains();
  const lease = testLease();
  lease.isLost = true;
  await expect(removeRemains(repository(1, { storage }), lease, testContext())).rejects.toMatchObject({
    kind: "lockAcquire",
  });
  expect(storage.paths()).toHaveLength(3);
});

test("only warns when the key may not remove", async () => {
  const storage = new FaultyStorage(await remains());
  storage.plan("remove", { kind: "error", error: fail("access", "denied") });
  const ctx = testContext();
  await removeRemains(repository(1, { storage }), testLease(), ctx);
  expect(ctx.lines).toContainEqual({ level: "warn", text: "repo1: unable to remove incomplete dumps: denied" });
});
