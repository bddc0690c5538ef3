import { describe, expect, test } from "vitest";
import { parseIni, trimBlanks } from "../../../runtime/config/ini";
import { failure } from "./support";

const FILE = "/etc/x.conf";

describe("the syntax of pgbackrest.conf", () => {
  test("takes values verbatim, without blanks at the ends", () => {
    const text = "# head\n\n  [global]  \r\n\trepo1-path = /x # eol \n   # no value\n[main]\npg1-path=a=b\n=";
    expect(parseIni(text.slice(0, -2), FILE)).toEqual([
      { section: "global", key: "repo1-path", value: "/x # eol", fileName: FILE, lineNo: 4 },
      { section: "main", key: "pg1-path", value: "a=b", fileName: FILE, lineNo: 7 },
    ]);
  });

  test("keeps an empty value, repeated keys and sections, and blanks that stock does not know", () => {
    const text = "[a]\nk=\nk=1\n[b]\nk=\u00a02\u00a0\n[a]\nk=3";
    expect(parseIni(text, FILE).map(({ section, value }) => [section, value])).toEqual([
      ["a", ""],
      ["a", "1"],
      ["b", "\u00a02\u00a0"],
      ["a", "3"],
    ]);
    expect(trimBlanks(" \t\r\n x y \t\r\n ")).toBe("x y");
  });

  test.each([
    ["key=value", "format: key/value found outside of section at line 1 of '/etc/x.conf'"],
    ["\n[global", "format: ini section should end with ] at line 2 of '/etc/x.conf'"],
    ["[]", "format: invalid empty section at line 1 of '/etc/x.conf'"],
    ["[a]\nmarkerSecret", "format: missing '=' in key/value at line 2 of '/etc/x.conf'"],
    ["[a]\n=markerSecret", "format: key is zero-length at line 2 of '/etc/x.conf'"],
  ])("refuses %j without showing the line", (text, message) => {
    expect(failure(() => parseIni(text, FILE))).toBe(message);
  });
});
