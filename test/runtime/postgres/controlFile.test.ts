import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadControlFile } from "../../../runtime/postgres/controlFile";
import { HeldClock, testContext } from "../../harness/context";
import { CONTROL, makeDataDirectory, makeTree, temporaryFolder } from "../repository/support";

describe("pg_control of a data directory", () => {
  const damaged = (path: string): Buffer => {
    const bytes = readFileSync(path);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    return bytes;
  };

  it("is read and parsed", async () => {
    const data = makeDataDirectory(temporaryFolder());
    const { control, header } = await loadControlFile(data, testContext());
    expect(control).toMatchObject({ systemId: CONTROL.systemId, pgVersion: "15" });
    expect(Buffer.from(header)).toEqual(readFileSync(join(data, "global/pg_control")).subarray(0, 512));
  });

  it("is read again when it was just being written", async () => {
    const data = makeDataDirectory(temporaryFolder());
    const path = join(data, "global/pg_control");
    const whole = readFileSync(path);
    writeFileSync(path, damaged(path));
    const ctx = testContext({ clock: new HeldClock() });
    const run = loadControlFile(data, ctx);
    run.catch(() => {});
    await ctx.clock.advance(10);
    // Write in place like PostgreSQL, so that the file is never empty.
    writeFileSync(path, whole, { flag: "r+" });
    expect((await ctx.clock.until(run)).control.pgVersion).toBe("15");
  });

  it("is damaged (26) when the same wrong bytes are read twice", async () => {
    const data = makeDataDirectory(temporaryFolder());
    const path = join(data, "global/pg_control");
    writeFileSync(path, damaged(path));
    const ctx = testContext();
    await expect(loadControlFile(data, ctx)).rejects.toMatchObject({ kind: "checksum" });
    expect(ctx.clock.sleeps).toEqual([50]);
  });

  it("is missing (55), or too short (42)", async () => {
    const folder = temporaryFolder();
    await expect(loadControlFile(folder, testContext())).rejects.toMatchObject({
      kind: "fileMissing",
      hints: [expect.stringContaining("pg1-path")],
    });
    makeTree(folder, { "global/pg_control": "short" });
    await expect(loadControlFile(folder, testContext())).rejects.toMatchObject({
      kind: "fileRead",
      message: expect.stringContaining("has 5 bytes"),
    });
  });
});
