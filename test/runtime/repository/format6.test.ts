/** Every file in the hidden format 6 of stock 2.60 gives the same plain error. */
import { describe, expect, it } from "vitest";
import { decrypt } from "../../../runtime/format/codec/cipher";
import { loadManifest } from "../../../runtime/repository/backupStore";
import { loadArchiveInfo, loadBackupInfo } from "../../../runtime/repository/infoStore";
import type { Repository } from "../../../runtime/repository/repository";
import { openWal } from "../../../runtime/repository/walStore";
import { all, errorOf, pieces, vectorBytes, vectorText } from "../format/vectors";
import { repository } from "./support";

const PASS = "testpass";
const MESSAGE = "expected format 5 but found 6";
const LABEL_FILE = "00000001000000000000001B.00000028.backup";

/** A stanza with both info files in format 6, main and copy. */
async function stanza(encrypted: boolean): Promise<Repository> {
  const repo = repository(1, encrypted ? { pass: PASS } : {});
  const name = (file: string): string => `v2.60/format6-encrypted/${encrypted ? "" : "unencrypted."}${file}`;
  for (const [folder, file] of [
    ["archive", "archive.info"],
    ["backup", "backup.info"],
  ] as const) {
    for (const end of ["", ".copy"]) await repo.storage.put(`${folder}/demo/${file}${end}`, vectorBytes(name(file)));
  }
  return repo;
}

describe.each([
  ["plain", false],
  ["encrypted", true],
])("format 6, %s", (_, encrypted) => {
  it("is recognised in archive.info and in backup.info", async () => {
    const repo = await stanza(encrypted);
    for (const load of [loadArchiveInfo, loadBackupInfo]) {
      const error = await errorOf("format", () => load(repo));
      expect(error.exitCode).toBe(29);
      expect(error.message).toContain(MESSAGE);
      expect(error.hints.join("\n")).toContain("format");
    }
  });
});

describe("format 6", () => {
  it("is recognised in archived files, with any chunk size", async () => {
    const bytes = vectorBytes(`v2.60/format6-encrypted/${LABEL_FILE}`);
    const repo = repository(1, { pass: PASS });
    await repo.storage.put(`archive/demo/18-1/${LABEL_FILE.slice(0, 16)}/${LABEL_FILE}`, bytes);
    const stored = { name: LABEL_FILE, fileName: LABEL_FILE, sha1: null, sizeRepoBytes: bytes.length, modifiedAtMs: 0 };
    const error = await errorOf("format", async () => all(await openWal(repo, "18-1", stored, PASS)));
    expect(error.message).toContain(MESSAGE);
    for (const size of [1, 8, 9])
      expect((await errorOf("format", () => all(decrypt(pieces(bytes, size), PASS)))).message).toContain(MESSAGE);
  });

  it("is recognised in a manifest", async () => {
    const repo = repository(1);
    const label = "20261120-070517F";
    const text = vectorText("v2.60/block-lz4/full.manifest.gz").replace("backrest-format=5", "backrest-format=6");
    await repo.storage.put(`backup/demo/${label}/backup.manifest`, Buffer.from(text));
    expect((await errorOf("format", () => loadManifest(repo, label, null))).message).toContain(MESSAGE);
  });
});
