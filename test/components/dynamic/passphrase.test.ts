/** A passphrase's methods; test/engine has the resource. */
import { expect, test } from "vitest";
import { diff, update } from "../../../components/dynamic/passphrase";
import { UNKNOWN } from "../../../components/dynamic/previewValues";

const STATE = { passphrase: "the first passphrase" };

test("another given passphrase is refused by the preview, one that it does not know yet by the update", async () => {
  expect(await diff("id", STATE, { sizeBytes: 32 })).toEqual({ changes: false });
  expect(await diff("id", STATE, { sizeBytes: 32, existing: STATE.passphrase })).toEqual({ changes: false });
  await expect(diff("id", STATE, { sizeBytes: 32, existing: "another" })).rejects.toThrow("cannot be changed in place");
  expect(await diff("id", STATE, { sizeBytes: 32, existing: UNKNOWN })).toEqual({ changes: false });
  await expect(update("id", STATE, { sizeBytes: 32, existing: "another" })).rejects.toThrow(
    "cannot be changed in place",
  );
});
