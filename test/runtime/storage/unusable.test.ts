import { expect, it } from "vitest";
import { fail } from "../../../runtime/base/errors";
import { unusableStorage } from "../../../runtime/storage/unusable";

it("fails every use with the reason, and closes", async () => {
  const reason = fail("optionRequired", "backup command requires option: repo2-cipher-pass");
  const storage = unusableStorage("repo2", reason);
  const uses = [
    storage.stat("a"),
    storage.read("a"),
    storage.put("a", new Uint8Array(0)),
    storage.putStream("a", async function* () {}),
    storage.remove("a"),
    storage.removePath("a"),
    storage.makePath("a"),
    storage.syncPath("a"),
    storage.link("a", "b"),
    (async () => {
      for await (const _entry of storage.list("a")) expect.unreachable();
    })(),
  ];
  for (const use of uses) await expect(use).rejects.toBe(reason);
  await storage.close();
});

it("shows the abilities that the storage has when it is usable, and refuses them too", async () => {
  const reason = fail("pathMissing", "nothing is mounted");
  const features = { directories: true, symlinks: true };
  const storage = unusableStorage("/nas", reason, {
    features,
    create: async () => true,
    removeDirectory: async () => undefined,
  });
  expect([storage.features, storage.replace, storage.hardLink]).toEqual([features, undefined, undefined]);
  await expect(storage.create?.("a", new Uint8Array(0))).rejects.toBe(reason);
  await expect(storage.removeDirectory?.("a")).rejects.toBe(reason);
});
