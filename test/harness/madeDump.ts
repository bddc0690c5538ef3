/** Logical dumps for tests that care for a few of their fields. */
import { createHash } from "node:crypto";
import { utf8 } from "../../runtime/base/bytes";
import { encryptBytes } from "../../runtime/format/codec/cipher";
import type { DumpContent, DumpManifest } from "../../runtime/format/repository/dumpManifest";
import { publishDump } from "../../runtime/repository/dumpStore";
import type { Repository } from "../../runtime/repository/repository";
import { testContext } from "./context";
import { testLease } from "./leases";

export const DUMP_LABEL = "20261120-064059Z-1a2b3c4d";

export function madeDump(own: Pick<DumpManifest, "databases" | "globals"> & Partial<DumpManifest>): DumpManifest {
  return {
    label: DUMP_LABEL,
    startedAtS: 1_795_156_859,
    stoppedAtS: 1_795_156_901,
    pgVersion: "18",
    versionNum: 180_001,
    systemId: 5n,
    format: "custom",
    cipherPass: null,
    ...own,
  };
}

export function contentOfDump(text: string, partSizesBytes: readonly number[] = [text.length]): DumpContent {
  return { sizeBytes: text.length, sha256: createHash("sha256").update(text).digest("hex"), partSizesBytes };
}

/** The parts of `shop` in a stored dump; its roles are `ROLES`. */
export const DUMP_PARTS = ["the first part, ", "the second"];

/** Stores a complete dump of `shop`, of two parts. */
export async function storeDump(repo: Repository, label: string, own: Partial<DumpManifest> = {}): Promise<void> {
  const ctx = testContext();
  const cipherPass = repo.cipherPass === null ? null : `of ${label}`;
  const put = async (name: string, text: string): Promise<number> => {
    const bytes = cipherPass === null ? utf8(text) : encryptBytes(utf8(text), cipherPass, ctx.random.bytes(8));
    await repo.storage.put(`pgbackstop/${repo.stanza}/dump/${label}/${name}`, bytes);
    return bytes.length;
  };
  const parts = [await put("shop.dump", DUMP_PARTS[0] ?? ""), await put("shop.dump.2", DUMP_PARTS[1] ?? "")];
  const manifest = madeDump({
    label,
    databases: [{ name: "shop", encoding: "UTF8", ...contentOfDump(DUMP_PARTS.join(""), parts) }],
    globals: contentOfDump("ROLES", [await put("globals.sql", "ROLES")]),
    cipherPass,
    ...own,
  });
  await publishDump(repo, manifest, testLease(), ctx);
}
