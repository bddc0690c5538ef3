/** The lock of a host when its connection breaks. test/hosts/converge.test.ts cuts a real one. */
import { expect, test } from "vitest";
import type { Connection } from "../../../components/host/connection";
import { PartlyApplied } from "../../../components/host/converge";
import { emptyOutcome } from "../../../components/host/hostIdentity";
import { withLock } from "../../../components/host/hostLock";

/** The lock's own command fails with the connection. */
const breaking: Connection = {
  name: "db",
  login: { name: "root", uid: 0, gid: 0 },
  exec: async () => ({ exitCode: 0, stdout: "", stderr: "" }),
  hold: async () => ({
    release: async () => {
      throw new Error("the connection to db was lost while /bin/sh ran");
    },
  }),
  close: async () => {},
};

// claim: docs/hosts/updates.md: if the connection breaks, the next update continues (what the update reached is kept)
test("a lost connection replaces neither the failure of an update nor its result", async () => {
  const failure = new PartlyApplied({ ...emptyOutcome(), madeDirectories: ["/etc/pgbackstop"] }, new Error("lost"));
  const failed = withLock(breaking, "/etc/pgbackstop", () => Promise.reject(failure));
  await expect(failed).rejects.toBe(failure);
  expect(await withLock(breaking, "/etc/pgbackstop", async () => "done")).toBe("done");
});
