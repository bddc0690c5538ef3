import { describe, expect, it } from "vitest";
import { findAttempt, isOfDomain, requireAttempt, saveAttempt, Watch } from "../../../runtime/repository/attempt";
import { testContext } from "../../harness/context";
import { testLease } from "../../harness/leases";
import { MemoryStorage } from "../../harness/doubles/storages";
import { repository } from "./support";

const LABEL = "20261120-064059F";
const PATH = `backup/demo/${LABEL}/pgbackstop.attempt`;
const ctx = testContext();

describe("the attempt file of a backup", () => {
  it.each([null, "pass"])("belongs to this process as long as its token is there: %s", async (pass) => {
    const storage = new MemoryStorage();
    const repo = repository(1, { storage });
    const [lease, other] = [testLease(), testLease()];
    await expect(requireAttempt(repo, LABEL, lease, pass)).rejects.toMatchObject({
      kind: "lockAcquire",
      message: `repo1: backup '${LABEL}' cannot continue: its attempt file is gone`,
    });
    await saveAttempt(repo, LABEL, { lease, source: null, pass }, ctx);
    expect(storage.text(PATH).includes(lease.token)).toBe(pass === null);
    await requireAttempt(repo, LABEL, lease, pass);
    await saveAttempt(repo, LABEL, { lease: other, source: null, pass }, ctx);
    await expect(requireAttempt(repo, LABEL, lease, pass)).rejects.toMatchObject({
      kind: "lockAcquire",
      message: `repo1: backup '${LABEL}' cannot continue: its attempt file belongs to another process`,
    });
    other.isLost = true;
    await expect(requireAttempt(repo, LABEL, other, pass)).rejects.toMatchObject({ kind: "lockAcquire" });
  });

  it("has no domain when it is unreadable", async () => {
    const repo = repository(1);
    const lease = testLease();
    for (const pass of [null, "pass"]) {
      await repo.storage.put(PATH, Buffer.from("garbage"));
      const result = await findAttempt(repo, LABEL, pass);
      expect(result).toMatchObject({ token: "", source: null });
      if (result === null) throw new Error("no attempt was found");
      expect(isOfDomain(result, lease)).toBe(false);
      expect(isOfDomain(result, { domain: "" })).toBe(false);
    }
  });
});

describe("a repeated check", () => {
  it("runs again after some time, once for all callers", async () => {
    const held = testContext();
    let checks = 0;
    const watch = new Watch(async () => {
      checks++;
    }, held.clock);
    await watch.keep();
    held.clock.advance(9_999);
    await watch.keep();
    expect(checks).toBe(0);
    held.clock.advance(3_600_000);
    await Promise.all([watch.keep(), watch.keep()]);
    await watch.keep();
    expect(checks).toBe(1);
  });

  it("runs again after the machine was suspended, when only the wall clock has gone on", async () => {
    let wallMs = 0;
    let checks = 0;
    const watch = new Watch(async () => void checks++, { monotonicMs: () => 0, nowMs: () => wallMs });
    await watch.keep();
    wallMs = 3_600_000;
    await watch.keep();
    await watch.keep();
    expect(checks).toBe(1);
  });

  it("keeps failing after a lost lease", async () => {
    const held = testContext();
    const lease = testLease();
    const watch = new Watch(() => lease.check(), held.clock);
    lease.isLost = true;
    held.clock.advance(60_000);
    for (let turn = 0; turn < 2; turn++) await expect(watch.keep()).rejects.toMatchObject({ kind: "lockAcquire" });
  });
});
