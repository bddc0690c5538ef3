import { symlinkSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { listReady, waitingWal } from "../../../runtime/postgres/archiveStatus";
import { makeTree, temporaryFolder } from "../repository/support";

describe("the list of files that wait for the archive", () => {
  it("is in PostgreSQL's order: histories first", async () => {
    const folder = temporaryFolder();
    const names = [
      "00000002000000000000000B.ready",
      "00000002.history.ready",
      "000000010000000000000009.ready",
      "00000001000000000000000A.partial.ready",
    ];
    makeTree(
      `${folder}/archive_status`,
      Object.fromEntries([...names, "000000010000000000000008.done", "notes.ready", "x"].map((name) => [name, ""])),
    );
    const expected = [
      "00000002.history",
      "000000010000000000000009",
      "00000001000000000000000A.partial",
      "00000002000000000000000B",
    ];
    expect(await listReady(folder, 10)).toEqual(expected);
    expect(await listReady(folder, 2)).toEqual(expected.slice(0, 2));
  });

  it("is empty without a directory, and an error when the directory cannot be seen", async () => {
    const folder = temporaryFolder();
    expect(await listReady(folder, 10)).toEqual([]);
    symlinkSync("archive_status", `${folder}/archive_status`);
    await expect(listReady(folder, 10)).rejects.toMatchObject({ kind: "pathOpen" });
    expect(await waitingWal(folder)).toBeNull();
  });
});
