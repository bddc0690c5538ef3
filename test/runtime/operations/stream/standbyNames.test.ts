// claim: docs/synchronous.md: commits wait for the…
import { describe, expect, it, test } from "vitest";
import {
  isReceiverRequired,
  namesReceiver,
  withoutReceiver,
  withReceiver,
} from "../../../../runtime/operations/stream/standbyNames";
import * as fc from "../../../harness/properties";

describe("synchronous_standby_names with the receiver", () => {
  test.each([
    ["", "pgbackstop"],
    ["  ", "pgbackstop"],
    ["s1", "FIRST 2 (pgbackstop, s1)"],
    ["1 (s1)", "FIRST 2 (pgbackstop, s1)"],
    ["FIRST 2 (s1, s2)", "FIRST 3 (pgbackstop, s1, s2)"],
    ['any 2 (s1,"S 2")', 'ANY 3 (pgbackstop, s1, "S 2")'],
    ['"a""b"', 'FIRST 2 (pgbackstop, "a""b")'],
    ["pgbackstop", "pgbackstop"],
    ["FIRST 2 (s1, PgBackstop)", "FIRST 2 (s1, PgBackstop)"],
    // The user named it without requiring it.
    ["FIRST 1 (pgbackstop, s1)", "FIRST 2 (pgbackstop, s1)"],
  ])("of %j is %j", (value, expected) => {
    expect(withReceiver(value)).toBe(expected);
    expect(isReceiverRequired(withReceiver(value))).toBe(true);
  });

  test.each(["ANY 1 (s1, s2)", "FIRST 1 (s1, s2)", "s1, s2", "*", "1 (*)", "FIRST 1 (pgbackstop, s1, s2)"])(
    "is refused for %j: one setting cannot require the receiver and only some of the others",
    (value) => {
      expect(() => withReceiver(value)).toThrow("does not require every listed standby");
    },
  );
});

describe("synchronous_standby_names without the receiver", () => {
  test.each([
    ["", ""],
    ["pgbackstop", ""],
    ['FIRST 1 ("pgbackstop")', ""],
    ["FIRST 2 (pgbackstop, s1)", "FIRST 1 (s1)"],
    ["ANY 3 (pgbackstop, s1, s2)", "ANY 2 (s1, s2)"],
    ["ANY 1 (s1, s2)", "ANY 1 (s1, s2)"],
    ["FIRST 1 (pgbackstop, s1, s2)", "FIRST 1 (s1, s2)"],
    ["pgbackstopper", "pgbackstopper"],
  ])("of %j is %j", (value, expected) => {
    expect(withoutReceiver(value)).toBe(expected);
    expect(namesReceiver(withoutReceiver(value))).toBe(false);
  });

  it("keeps every other standby required", () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9_ "]{0,8}$/).filter((each) => each !== "pgbackstop");
    fc.assert(
      fc.property(
        fc.uniqueArray(name, { minLength: 1, maxLength: 4 }),
        fc.constantFrom("FIRST", "ANY"),
        (names, method) => {
          const quoted = names.map((each) => `"${each.replaceAll('"', '""')}"`).join(",");
          const own = `${method} ${names.length} (${quoted})`;
          const both = withReceiver(own);
          const back = withoutReceiver(both);
          expect(withReceiver(back)).toBe(both);
          expect(back.startsWith(`${method} ${names.length} (`)).toBe(true);
        },
      ),
    );
  });
});
