/** The attack drill on a double of an account with versions, soft delete and immutability policies. */
// claim: docs/drills-attack.md: at Azure a signature without the right x destroys nothing, and the drill says which
//   key, account or policy does not protect (simulated service)
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SAS_PERMISSIONS } from "../../../../components/plan/storage/azureSas";
import type { DrillRecord } from "../../../../runtime/operations/drill/record";
import { S3Double } from "../../../harness/doubles/s3Double";
import { type AccountOptions, VersionedAzure } from "../../../harness/doubles/versionedAzure";
import { makeAttack, patient, verdictsOf } from "../../operations/drill/support";
import { repository } from "../../repository/support";
import { openBlobs } from "./support";

let double: S3Double;
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());

const REAL = "repo/backup/demo/20261101-020000F/kept";
const attackWith = async (options: Omit<AccountOptions, "nowMs">): Promise<DrillRecord> => {
  const ctx = patient(1);
  const account = new VersionedAzure({ nowMs: () => ctx.clock.nowMs(), ...options });
  account.put(REAL, Buffer.from("real"));
  double.answering((request) => account.answer(request));
  const storage = openBlobs(double, { path: "/repo" }, { clock: ctx.clock });
  const record = await makeAttack([repository(2, { storage })], ctx);
  const outside = double.requests.filter(
    ({ method, url }) =>
      method !== "GET" && !url.includes("/repo/pgbackstop/demo/attack/") && !url.includes("comp=properties"),
  );
  expect(outside).toEqual([]);
  const left: string[] = [];
  for await (const { path } of storage.list("", { recursive: true })) left.push(path);
  expect(left).toEqual(["backup/demo/20261101-020000F/kept"]);
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
  unlock: "ok",
  permanent: "ok",
  "soft-delete": "ok",
  protection: "ok",
  past: "ok",
  restore: "ok",
};

const { protection: _, ...WITHOUT_REFUSALS } = UNDONE;

test("by the writer's signature that AzureRepository makes is undone, with soft delete and without", async () => {
  for (const softDelete of [true, false]) {
    const record = await attackWith({ rights: SAS_PERMISSIONS.writer, softDelete });
    expect([record.failures, verdictsOf(record)]).toEqual([[], UNDONE]);
  }
});

describe("by a key that deletes versions", () => {
  test("is undone by soft delete, with a warning", async () => {
    const record = await attackWith({ rights: SAS_PERMISSIONS.recovery });
    expect([record.failures, verdictsOf(record)]).toEqual([
      [],
      { ...WITHOUT_REFUSALS, "delete-version": "warning", unlock: "warning", permanent: "warning" },
    ]);
    expect(textOf(record, "delete-version")).toContain("use a signature of the container with the rights racwdl");
    expect(textOf(record, "past")).toMatch(
      /^all \d+ files are readable as they were before, \d+ of them by soft delete$/,
    );
  });

  test("fails without soft delete, and says what to do", async () => {
    const record = await attackWith({ rights: SAS_PERMISSIONS.recovery, softDelete: false });
    expect(verdictsOf(record)).toMatchObject({ past: "failed", restore: "failed" });
    expect(textOf(record, "past")).toContain("this key deletes versions, and no soft delete keeps them");
  });

  test("fails if it may also delete for good what soft delete keeps", async () => {
    const record = await attackWith({ rights: `${SAS_PERMISSIONS.recovery}y`, permanentDelete: true });
    expect(verdictsOf(record)).toMatchObject({ permanent: "failed", past: "failed" });
    expect(textOf(record, "permanent")).toContain("forbid permanent deletes in the account");
  });

  test("is refused by a policy, locked or not", async () => {
    for (const policy of ["locked", "unlocked"] as const) {
      const record = await attackWith({ rights: SAS_PERMISSIONS.recovery, softDelete: false, policy });
      expect([record.failures, verdictsOf(record)]).toEqual([[], UNDONE]);
    }
  });

  test("fails if a rule of the container alone refuses: the versions show no policy", async () => {
    const record = await attackWith({ rights: SAS_PERMISSIONS.recovery, softDelete: false, isHeld: true });
    expect(record.failures.map(({ where }) => where)).toEqual(["attack:protection"]);
    expect(textOf(record, "protection")).toContain("the versions show no lock of their own");
  });

  test("that may not write cannot show what soft delete keeps", async () => {
    const ctx = patient(1);
    const account = new VersionedAzure({ rights: "racwdxl", nowMs: () => ctx.clock.nowMs() });
    double.answering((request) => (request.url.includes("comp=undelete") ? { status: 403 } : account.answer(request)));
    const storage = openBlobs(double, { path: "/repo" }, { clock: ctx.clock });
    const record = await makeAttack([repository(2, { storage })], ctx);
    expect(verdictsOf(record)).toMatchObject({ past: "warning" });
    expect(textOf(record, "past")).toContain("drill with a key that may write");
    await storage.close();
  });
});

// claim: docs/azure.md: the account's key ends a policy that is not locked (simulated service)
describe("by the account's key fails", () => {
  test("because it may switch soft delete off", async () => {
    const record = await attackWith({ rights: "account" });
    expect(record.failures.map(({ where }) => where)).toEqual(["attack:soft-delete"]);
    expect(textOf(record, "soft-delete")).toContain("this key may switch soft delete of the account off");
    expect(double.lines()).toContain("PUT /account/?comp=properties&restype=service");
  });

  test("because it ends a policy that is not locked", async () => {
    const record = await attackWith({ rights: "account", policy: "unlocked" });
    expect(verdictsOf(record)).toMatchObject({ unlock: "failed", past: "ok" });
    expect(textOf(record, "unlock")).toContain("az storage container immutability-policy lock");
  });

  test("unless a locked policy protects every version", async () => {
    const record = await attackWith({ rights: "account", policy: "locked", softDelete: false });
    expect([record.failures, verdictsOf(record)]).toEqual([[], { ...UNDONE, "soft-delete": "warning" }]);
  });
});

test("on an account without versions fails: soft delete alone does not undo it", async () => {
  const record = await attackWith({ rights: SAS_PERMISSIONS.writer, versioning: false });
  expect(record.failures.map(({ where }) => where)).toEqual(["attack:versions"]);
  expect(record.failures[0]?.message).toContain("switch on versions and soft delete of the account");
});
