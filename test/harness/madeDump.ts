/** Logical dumps for tests that care for a few of their fields. */
import { createHash } from "node:crypto";
import type { DumpContent, DumpManifest } from "../../runtime/format/repository/dumpManifest";

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
