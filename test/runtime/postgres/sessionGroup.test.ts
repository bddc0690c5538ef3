import { mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Session } from "../../../runtime/postgres/session";
import { SessionGroup } from "../../../runtime/postgres/sessionGroup";
import { startPostgresDouble } from "../../harness/doubles/postgresDouble";

describe("sessions of a group", () => {
  let folder = "";
  let postgres: Server;
  const open = (): Promise<Session> =>
    Session.open({
      host: folder,
      port: 5432,
      user: "u",
      database: "postgres",
      queryTimeoutMs: 10_000,
      applicationName: "test",
    });

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "pgb-group-"));
    postgres = await startPostgresDouble(folder, {});
  });
  afterAll(() => {
    postgres.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("end with the signal, one that is still connecting too", async () => {
    const group = new SessionGroup();
    const abort = new AbortController();
    const connected = await group.add(open(), abort.signal);
    await connected.query("SELECT 1");
    const opening = open();
    const added = group.add(opening, abort.signal);
    abort.abort(new Error("the time is over"));
    await expect(added).rejects.toThrow("the time is over");
    await expect(connected.query("SELECT 1")).rejects.toThrow();
    await expect((await opening).query("SELECT 1")).rejects.toThrow();
    await expect(group.add(open(), abort.signal)).rejects.toThrow("the time is over");
  });
});
