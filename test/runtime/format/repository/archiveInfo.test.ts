import { describe, expect, it } from "vitest";
import {
  archiveIdOf,
  currentHistory,
  parseArchiveInfo,
  renderArchiveInfo,
} from "../../../../runtime/format/repository/archiveInfo";
import { headEntries, renderInfo } from "../../../../runtime/format/repository/infoFile";
import { errorOf, vectorText } from "../vectors";

describe("archive.info", () => {
  it.each(["v2.45/plain/archive.info", "v2.45/encrypted/archive.info.plain.txt", "v2.60/block-lz4/archive.info"])(
    "%s is rewritten to the same bytes",
    (path) => {
      expect(renderArchiveInfo(parseArchiveInfo(vectorText(path), path))).toBe(vectorText(path));
    },
  );

  it("has versions, ids, the exact system identifier and the passphrase", () => {
    const info = parseArchiveInfo(vectorText("v2.45/encrypted/archive.info.plain.txt"), "archive.info");
    expect(info.backrestVersion).toBe("2.45");
    expect(info.history).toEqual([{ id: 1, systemId: 7710143016304328199n, pgVersion: "15" }]);
    expect(info.cipherPass).toMatch(/^[A-Za-z0-9+/]{64}$/);
    expect(archiveIdOf(currentHistory(info))).toBe("15-1");
    expect(parseArchiveInfo(vectorText("v2.45/plain/archive.info"), "archive.info")).not.toHaveProperty("cipherPass");
  });

  it("keeps history in numeric order and unknown parts", () => {
    const history = Array.from({ length: 11 }, (_, index) => ({
      id: index + 1,
      systemId: 2n ** 64n - 1n - BigInt(index),
      pgVersion: "18",
    }));
    const other = [
      { section: "db", key: "db-zz", valueText: "true" },
      { section: "custom", key: "k", valueText: '{"a":[1,2]}' },
    ];
    const text = renderArchiveInfo({ backrestVersion: "2.60.0", currentId: 10, history, other });
    expect(text.match(/^\d+=/gm)).toEqual(history.map((entry) => `${entry.id}=`));
    const again = parseArchiveInfo(text, "archive.info");
    expect(again).toEqual({ backrestVersion: "2.60.0", currentId: 10, history, other });
    expect(renderArchiveInfo(again)).toBe(text);
  });

  it("refuses a current id that is not in the history", async () => {
    const text = renderInfo([
      ...headEntries("2.60.0"),
      { section: "db", key: "db-id", valueText: "2" },
      { section: "db:history", key: "1", valueText: '{"db-id":7,"db-version":"18"}' },
    ]);
    expect((await errorOf("format", () => parseArchiveInfo(text, "archive.info"))).message).toBe(
      "'archive.info': current history id is 2 but the history holds 1",
    );
  });
});
