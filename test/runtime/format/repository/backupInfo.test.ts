import { describe, expect, it } from "vitest";
import { backupInfoEntryOf, parseBackupInfo, renderBackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { decryptBytes } from "../../../../runtime/format/codec/cipher";
import { parseInfo, renderInfo } from "../../../../runtime/format/repository/infoFile";
import { parseManifest } from "../../../../runtime/format/repository/manifest";
import { errorOf, PASS, vectorBytes, vectorText } from "../vectors";

describe("backup.info", () => {
  it.each(["v2.45/plain/backup.info", "v2.45/encrypted/backup.info.plain.txt", "v2.60/block-lz4/backup.info"])(
    "%s is rewritten to the same bytes",
    (path) => {
      expect(renderBackupInfo(parseBackupInfo(vectorText(path), path))).toBe(vectorText(path));
    },
  );

  it("of an encrypted repository is rewritten to the same bytes", () => {
    const text = Buffer.from(decryptBytes(vectorBytes("v2.60/block-zst-encrypted/backup.info"), PASS.repo3)).toString();
    const info = parseBackupInfo(text, "backup.info");
    expect(info.backups.map((backup) => backup.type)).toEqual(["full", "diff", "incr"]);
    expect(renderBackupInfo(info)).toBe(text);
  });

  it("has every field of a row", () => {
    const { backups, history } = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "backup.info");
    expect(history).toEqual([
      { id: 1, systemId: 7710143016304328199n, pgVersion: "15", catalogVersion: 202209061, controlVersion: 1300 },
    ]);
    expect(new Map(Object.entries(backups[0]?.annotations ?? {}))).toEqual(
      new Map([
        ["key", "value"],
        ["late", "yes"],
        ["note", 'a "quoted" = text'],
      ]),
    );
    expect(backups[2]).toEqual({
      label: "20261120-065325F_20261120-065552I",
      type: "incr",
      prior: "20261120-065325F_20261120-065508D",
      references: ["20261120-065325F", "20261120-065325F_20261120-065508D"],
      format: 5,
      backrestVersion: "2.45",
      archiveStart: "000000010000000000000013",
      archiveStop: "000000010000000000000013",
      error: false,
      sizeBytes: 32938348,
      sizeDeltaBytes: 1917227,
      repoSizeBytes: 32938348,
      repoSizeDeltaBytes: 1917227,
      lsnStart: "0/13000028",
      lsnStop: "0/13000100",
      startedAtS: 1795157752,
      stoppedAtS: 1795157759,
      dbId: 1,
      optionArchiveCheck: true,
      optionArchiveCopy: false,
      optionBackupStandby: false,
      optionChecksumPage: true,
      optionCompress: false,
      optionHardlink: false,
      optionOnline: true,
      extra: {},
    });
  });

  it.each([
    ["v2.45/plain", "full.manifest.gz", 0],
    ["v2.45/plain", "diff.manifest.gz", 1],
    ["v2.45/plain", "incr.backup.manifest", 2],
    ["v2.60/block-lz4", "full.manifest.gz", 0],
    ["v2.60/block-lz4", "diff.manifest.gz", 1],
    ["v2.60/block-lz4", "incr.manifest.gz", 2],
  ] as const)("has the row that the manifest %s/%s implies", (folder, file, index) => {
    const { backups } = parseBackupInfo(vectorText(`${folder}/backup.info`), "backup.info");
    const { annotations: _notes, ...expected } = backups[index] as (typeof backups)[number];
    const { annotations: _own, ...entry } = backupInfoEntryOf(parseManifest(vectorText(`${folder}/${file}`), file));
    expect(entry).toEqual(expected);
  });

  it("takes the annotations from the manifest", () => {
    expect(backupInfoEntryOf(parseManifest(vectorText("v2.45/plain/full.manifest.gz"), "m")).annotations).toEqual({
      key: "value",
      note: 'a "quoted" = text',
    });
  });

  it("keeps unknown fields at their position, and null for an offline backup", () => {
    const entries = parseInfo(vectorText("v2.45/plain/backup.info"), "x").map((entry) =>
      entry.key === "20261120-065325F"
        ? {
            ...entry,
            valueText: entry.valueText
              .replace('{"backrest-format"', '{"aa-extra":"1","backrest-format"')
              .replace('"backrest-version"', '"backrest-mid":{"10":1,"9":2},"backrest-version"')
              .replace(
                /"backup-archive-start":"\w+","backup-archive-stop":"\w+"/,
                '"backup-archive-start":null,"backup-archive-stop":null',
              )
              .replace(/\}$/, ',"zz-extra":[1,2]}'),
          }
        : entry,
    );
    const text = renderInfo(entries);
    const info = parseBackupInfo(text, "backup.info");
    expect(info.backups[0]?.archiveStart).toBeNull();
    expect(Object.keys(info.backups[0]?.extra ?? {})).toEqual(["aa-extra", "backrest-mid", "zz-extra"]);
    expect(renderBackupInfo(info)).toBe(text);
  });

  it("writes rows by label and omits an empty section", () => {
    const info = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "backup.info");
    expect(renderBackupInfo({ ...info, backups: [...info.backups].reverse() })).toBe(
      vectorText("v2.45/plain/backup.info"),
    );
    expect(renderBackupInfo({ ...info, backups: [] })).not.toContain("backup:current");
  });

  it("names file, row and field of an error", async () => {
    const broken = renderInfo(
      parseInfo(vectorText("v2.45/plain/backup.info"), "x").map((entry) => ({
        ...entry,
        valueText: entry.valueText.replace('"backup-timestamp-stop":1795157643,', ""),
      })),
    );
    expect((await errorOf("format", () => parseBackupInfo(broken, "backup.info"))).message).toBe(
      "'backup.info' section 'backup:current' key '20261120-065325F': required 'backup-timestamp-stop' is missing",
    );
  });
});
