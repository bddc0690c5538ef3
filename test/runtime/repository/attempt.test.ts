import { describe, expect, it } from "vitest";
import { findAttempt, requireAttempt, saveAttempt } from "../../../runtime/repository/attempt";
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
      expect(lease.isOver(result.domain)).toBe(false);
    }
  });
});
