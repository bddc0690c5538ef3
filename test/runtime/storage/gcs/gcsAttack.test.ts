/** The attack drill on a double of a bucket of Google Cloud Storage with versions and soft delete. */
// claim: docs/drills-attack.md: at Google every key that overwrites deletes versions, and soft delete brings them back
//   (simulated service)
import { afterAll, beforeAll, expect, test } from "vitest";
import type { DrillRecord } from "../../../../runtime/operations/drill/record";
import { HonestGcs, type HonestGcsOptions } from "../../../harness/doubles/honestGcs";
import { S3Double } from "../../../harness/doubles/s3Double";
import { makeAttack, patient, verdictsOf } from "../../operations/drill/support";
import { repository } from "../../repository/support";
import { openGcs } from "./support";

let double: S3Double;
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());

const attackWith = async (options: HonestGcsOptions): Promise<DrillRecord> => {
  const ctx = patient(1);
  const bucket = new HonestGcs({ nowMs: () => ctx.clock.nowMs(), ...options });
  bucket.put("repo/backup/demo/20261101-020000F/kept", Buffer.from("real"));
  double.answering((request) => bucket.answer(request));
  const storage = openGcs(double, { path: "/repo" }, { clock: ctx.clock });
  const record = await makeAttack([repository(2, { storage })], ctx);
  const outside = double.requests.filter(
    ({ method, url }) => method !== "GET" && !decodeURIComponent(url).includes("repo/pgbackstop/demo/attack/"),
  );
  expect(outside).toEqual([]);
  expect([...bucket.objects.keys()]).toEqual(["repo/backup/demo/20261101-020000F/kept"]);
  await storage.close();
  return record;
};
const textOf = ({ checks }: DrillRecord, name: string): string =>
  checks.find((check) => check.name === `attack:${name}`)?.text ?? "";

const UNDONE = {
  delete: "ok",
  overwrite: "ok",
  empty: "ok",
  "delete-version": "ok",
  settings: "ok",
  policy: "ok",
  past: "ok",
  restore: "ok",
};

test("by the account that GcsRepository makes is undone by soft delete, with versions and without", async () => {
  for (const keepsOld of [true, false]) {
    const record = await attackWith({ softDelete: true, keepsOld, versioning: keepsOld });
    expect([record.failures, verdictsOf(record)]).toEqual([[], UNDONE]);
    expect(textOf(record, "past")).toMatch(/^all (\d+) files .* before, \1 of them by soft delete$/);
  }
});

test("fails without soft delete, and says what to do: versions do not protect", async () => {
  for (const keepsOld of [true, false]) {
    const record = await attackWith({ keepsOld, versioning: keepsOld });
    expect(verdictsOf(record)).toMatchObject({ past: "failed", restore: "failed" });
    expect(textOf(record, "past")).toContain("switch on soft delete of the bucket for 7 days or more");
  }
});

test("is refused by retention that each object shows; a refusal that shows no end is no protection", async () => {
  const shown = await attackWith({ retention: "shown" });
  expect([shown.failures, verdictsOf(shown)]).toEqual([[], { ...UNDONE, protection: "ok" }]);
  expect(shown.lockedForS).toBeGreaterThan(86_000);
  const hidden = await attackWith({ retention: "hidden" });
  expect(hidden.failures.map(({ where }) => where)).toEqual(["attack:protection"]);
});

test("fails if the key may switch soft delete off, or give itself the right", async () => {
  const record = await attackWith({
    softDelete: true,
    permissions: ["storage.buckets.update", "storage.buckets.setIamPolicy"],
  });
  expect(record.failures.map(({ where }) => where)).toEqual(["attack:settings", "attack:policy"]);
  expect(textOf(record, "settings")).toContain("give the account only roles/storage.objectUser");
});

test("by an account that may not restore shows nothing, with a warning", async () => {
  const record = await attackWith({ softDelete: true, mayRestore: false });
  expect([record.failures, verdictsOf(record)]).toMatchObject([[], { past: "warning" }]);
  expect(textOf(record, "past")).toContain("storage.objects.restore");
});

test("a service that does not say what the key may is no proof", async () => {
  const ctx = patient(1);
  const bucket = new HonestGcs({ nowMs: () => ctx.clock.nowMs(), softDelete: true });
  double.answering((request) =>
    request.url.includes("testPermissions") ? { status: 200, body: "{}" } : bucket.answer(request),
  );
  const storage = openGcs(double, { path: "/repo" }, { clock: ctx.clock });
  const record = await makeAttack([repository(2, { storage })], ctx);
  expect(verdictsOf(record)).toMatchObject({ settings: "skipped", policy: "skipped" });
  await storage.close();
});
