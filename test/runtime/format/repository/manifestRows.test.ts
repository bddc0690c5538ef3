import { describe, expect, it } from "vitest";
import {
  defaultMode,
  parseMode,
  parseOwner,
  renderMode,
  rowDifferences,
} from "../../../../runtime/format/repository/manifestRows";
import { errorOf } from "../vectors";

describe("owners and modes of rows", () => {
  it("come from the row, else from the defaults", () => {
    expect(parseOwner({ user: "a", group: undefined }, { user: "b", group: "c" }, "w")).toEqual({
      user: "a",
      group: "c",
    });
    expect(parseOwner({ user: false, group: undefined }, { user: "b", group: null }, "w")).toEqual({
      user: null,
      group: null,
    });
  });

  it("are errors when neither has them", async () => {
    expect((await errorOf("format", () => parseOwner({ user: "a", group: undefined }, {}, "w"))).message).toBe(
      "w: no owner in the row nor in the defaults",
    );
    expect((await errorOf("format", () => defaultMode({}, "w"))).message).toBe(
      "w: no mode in the row nor in the defaults",
    );
  });

  it("are written only when they differ from the defaults", () => {
    const defaults = { user: "a", group: null, mode: 0o700 };
    expect(rowDifferences({ user: "a", group: null, mode: 0o700 }, defaults)).toEqual([]);
    expect(rowDifferences({ user: null, group: "g", mode: 0o1750 }, defaults)).toEqual([
      ["group", "g"],
      ["mode", "1750"],
      ["user", false],
    ]);
  });

  it("are octal with four digits", async () => {
    expect([parseMode("0640", "w"), renderMode(0o640), renderMode(0)]).toEqual([0o640, "0640", "0000"]);
    await errorOf("format", () => parseMode("640", "w"));
    await errorOf("assert", () => renderMode(0o100600));
  });
});
