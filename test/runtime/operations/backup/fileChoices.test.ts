import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import type { Manifest, ManifestFile } from "../../../../runtime/format/repository/manifest";
import {
  chooseFiles,
  type DeltaInput,
  findDeltaReason,
  findFutureReason,
} from "../../../../runtime/operations/backup/fileChoices";

const LABEL = "20261120-064059F";
const SHA1 = "a".repeat(40);
const MIB = 1024 * 1024;

function scanned(name: string, sizeBytes: number, modifiedAtS: number): ManifestFile {
  return row(name, sizeBytes, modifiedAtS, { sha1: "" });
}

function row(name: string, sizeBytes: number, modifiedAtS: number, more: Partial<ManifestFile> = {}): ManifestFile {
  return {
    name,
    sizeBytes,
    sizeRepoBytes: sizeBytes,
    sha1: SHA1,
    modifiedAtS,
    mode: 0o600,
    user: "postgres",
    group: "postgres",
    ...more,
  };
}

/** A manifest with only the fields that the choice uses. */
function prior(files: readonly ManifestFile[], more: Partial<Manifest> = {}): Manifest {
  const options = {
    archiveCheck: true,
    archiveCopy: false,
    compressType: "none",
    hardlink: false,
    online: true,
  } as const;
  const fake: Pick<Manifest, "label" | "files" | "bundle" | "archiveStop" | "options"> = {
    label: LABEL,
    files,
    bundle: false,
    archiveStop: "000000010000000000000004",
    options,
  };
  return { ...fake, ...more } as Manifest;
}

/** The default for a file without a choice. */
const COPY = { kind: "copy", row: undefined } as const;
const choose = (file: ManifestFile, before: Manifest | null, more: { delta?: boolean; bundle?: boolean } = {}) =>
  chooseFiles({ files: [file], prior: before, delta: false, bundle: false, checkPages: true, ...more }).get(
    file.name,
  ) ?? COPY;

describe("what an increment does with a file", () => {
  const name = "pg_data/base/5/16384";

  it.each([
    ["the same size and time", [8192, 10], {}, "keep"],
    ["another time, small", [8192, 11], {}, "compare"],
    ["another size", [16384, 10], {}, "copy"],
    ["the same size and time, with delta", [8192, 10], { delta: true }, "compare"],
    ["another size, with delta", [16384, 10], { delta: true }, "copy"],
  ] as const)("%s", (_what, [sizeBytes, modifiedAtS], more, kind) => {
    expect(choose(scanned(name, sizeBytes, modifiedAtS), prior([row(name, 8192, 10)]), more)?.kind).toBe(kind);
  });

  it("copies a large one with another time without a comparison, except with delta", () => {
    const before = prior([row(name, 2 * MIB, 10)]);
    expect(choose(scanned(name, 2 * MIB, 11), before)?.kind).toBe("copy");
    expect(choose(scanned(name, 2 * MIB, 11), before, { delta: true })?.kind).toBe("compare");
  });

  it("copies files that the prior lacks, and everything without a prior", () => {
    expect(choose(scanned(name, 8192, 10), prior([]))?.kind).toBe("copy");
    expect(choose(scanned(name, 8192, 10), null)?.kind).toBe("copy");
  });

  it("refers to the backup that holds the bytes: the prior, or the one that the prior refers to", () => {
    const file = scanned(name, 8192, 10);
    expect(choose(file, prior([row(name, 8192, 10, { mode: 0o640 })]))?.row).toMatchObject({
      reference: LABEL,
      mode: 0o600,
      sha1: SHA1,
    });
    expect(choose(file, prior([row(name, 8192, 10, { reference: "20261119-000000F" })]))?.row).toMatchObject({
      reference: "20261119-000000F",
    });
    const bundled = { bundle: { id: 3, offsetBytes: 77 }, checksumPage: false, pageErrors: [2] };
    expect(choose(file, prior([row(name, 8192, 10, bundled)]))?.row).toMatchObject({ ...bundled, reference: LABEL });
  });

  it("always compares pg_control, which may change twice in a second", () => {
    const control = "pg_data/global/pg_control";
    expect(choose(scanned(control, 8192, 10), prior([row(control, 8192, 10)]))?.kind).toBe("compare");
  });

  it("stores no bytes of an empty file in bundles, and a separate file otherwise", () => {
    const empty = scanned(name, 0, 10);
    expect(choose(empty, null, { bundle: true })).toMatchObject({
      kind: "keep",
      row: { sizeBytes: 0, sizeRepoBytes: 0, checksumPage: true },
    });
    expect(choose(empty, null, { bundle: true })?.row).not.toHaveProperty("reference");
    expect(choose(empty, null)?.kind).toBe("copy");
    expect(choose(empty, prior([row(name, 0, 3)]))).toMatchObject({ kind: "keep", row: { reference: LABEL } });
    // A bundled prior backup stores no bytes for an empty file, so there is nothing to reference.
    expect(choose(empty, prior([row(name, 0, 3)], { bundle: true }))?.kind).toBe("copy");
  });
});

describe("times are not trusted", () => {
  const files = [scanned("a", 10, 100), scanned("b", 20, 100)];
  const reason = (before: Manifest, archiveStart = "000000010000000000000005"): string | null =>
    findDeltaReason({ files, prior: before, archiveStart, times: "primary" });

  it("only if there is a reason", () => {
    expect(reason(prior([row("a", 10, 100), row("b", 15, 90), row("gone", 1, 500)]))).toBeNull();
  });

  it.each([
    [
      "after a timeline switch",
      prior([]),
      "000000020000000000000005",
      /^a timeline switch has occurred since the \S+ backup$/,
    ],
    [
      "when a time went back",
      prior([row("b", 20, 101)]),
      undefined,
      /^file 'b' has timestamp earlier than prior backup \(prior 101, current 100\)$/,
    ],
    [
      "when a size changed without the time",
      prior([row("a", 11, 100)]),
      undefined,
      /^file 'a' has same timestamp \(100\) as prior but different size \(prior 11, current 10\)$/,
    ],
  ] as const)("%s", (_when, before, archiveStart, text) => {
    expect(reason(before, archiveStart)).toMatch(text);
  });

  it("between servers", () => {
    const reported = `file times may come from another server than those of the ${LABEL} backup`;
    const since = (times: DeltaInput["times"], backupStandby: boolean): string | null => {
      const before = prior([]);
      return findDeltaReason({
        files,
        prior: { ...before, options: { ...before.options, backupStandby } },
        archiveStart: "000000010000000000000005",
        times,
      });
    };
    expect(since("standby alone", true)).toBe(reported);
    expect(since("primary", true)).toBe(reported);
    expect(since("primary with standby", false)).toBe(reported);
    // The primary's times stand for the bytes of a standby, which may be older.
    expect(since("primary with standby", true)).toBe(reported);
    expect(since("primary", false)).toBeNull();
  });

  it("for a file that shrank during the prior's copy; its size at that time counts", () => {
    expect(reason(prior([row("a", 4, 100, { sizeOriginalBytes: 10 })]))).toBeNull();
  });

  it("after the start of the copy", () => {
    expect(findFutureReason(files, 100)).toBeNull();
    expect(findFutureReason(files, 99)).toBe("file 'a' has timestamp (100) in the future (relative to copy start 99)");
  });
});

it("no choice loses a file, and a kept file has its current size", () => {
  const size = fc.constantFrom(0, 10, 20, 3 * MIB);
  const name = fc.constantFrom("a", "b", "c", "pg_data/global/pg_control");
  const some = fc.uniqueArray(fc.tuple(name, size, fc.integer({ min: 1, max: 3 })), { selector: ([own]) => own });
  fc.assert(
    fc.property(some, some, fc.boolean(), fc.boolean(), fc.boolean(), (now, before, delta, bundle, priorBundle) => {
      const files = now.map(([own, sizeBytes, time]) => scanned(own, sizeBytes, time));
      const rows = before.map(([own, sizeBytes, time]) => row(own, sizeBytes, time));
      const choices = chooseFiles({
        files,
        prior: prior(rows, { bundle: priorBundle }),
        delta,
        bundle,
        checkPages: false,
      });
      for (const file of files) {
        const choice = choices.get(file.name);
        if (choice === undefined) continue;
        expect(choice?.row.sizeBytes).toBe(file.sizeBytes);
        expect(choice?.row.modifiedAtS).toBe(file.modifiedAtS);
        if (choice?.kind === "keep" && file.sizeBytes > 0) {
          expect(delta).toBe(false);
          expect(rows.find((old) => old.name === file.name)?.modifiedAtS).toBe(file.modifiedAtS);
        }
      }
    }),
  );
});
