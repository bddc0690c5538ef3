import { describe, expect, it } from "vitest";
import { Fields, Sections, sectionEntries } from "../../../../runtime/format/repository/fields";
import { headEntries, parseInfo, renderInfo } from "../../../../runtime/format/repository/infoFile";
import { errorOf } from "../vectors";

const FIELDS = new Fields({ text: "a", number: 7, flag: false, big: 2n ** 63n, nothing: null }, "'f' section 's'");

describe("fields", () => {
  it("are read by type", () => {
    expect([
      FIELDS.text("text"),
      FIELDS.integer("number"),
      FIELDS.boolean("flag"),
      FIELDS.bigint("big"),
      FIELDS.bigint("number"),
    ]).toEqual(["a", 7, false, 2n ** 63n, 7n]);
    expect([FIELDS.findText("absent"), FIELDS.find("nothing")]).toEqual([undefined, undefined]);
  });

  it.each([
    [() => FIELDS.text("number"), "'f' section 's': expected a string in 'number'"],
    [() => FIELDS.integer("text"), "'f' section 's': expected an integer in 'text'"],
    [() => FIELDS.boolean("text"), "'f' section 's': expected true or false in 'text'"],
    [() => FIELDS.bigint("text"), "'f' section 's': expected an integer in 'text'"],
    [() => FIELDS.text("nothing"), "'f' section 's': required 'nothing' is missing"],
  ])("say where a wrong one is (%#)", async (run, message) => {
    expect((await errorOf("format", run)).message).toBe(message);
  });
});

describe("sections", () => {
  it("keep unread entries", () => {
    const entries = [
      ...headEntries("2.60.0"),
      ...sectionEntries("a", [
        ["x", "1"],
        ["y", "2"],
        ["z", undefined],
      ]),
      ...sectionEntries("b", [["q", "{}"]]),
    ];
    const sections = new Sections(parseInfo(renderInfo(entries), "f"), "f");
    sections.rows("backrest");
    expect(sections.fields("a", new Set(["x"])).integer("x")).toBe(1);
    expect(sections.other()).toEqual([
      { section: "a", key: "y", valueText: "2" },
      { section: "b", key: "q", valueText: "{}" },
    ]);
  });
});
