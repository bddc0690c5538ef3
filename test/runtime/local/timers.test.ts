import { expect, test } from "vitest";
import { parseTimers } from "../../../runtime/local/timers";

/** Output of systemd 252. */
const TEXT =
  '[{"next":1795244400000000,"left":1795244400000000,"last":1795158000000000,"passed":1,"unit":"pgbackstop-main-full.timer","activates":"pgbackstop-main-full.service"},' +
  '{"next":1795200000000000,"left":0,"last":0,"passed":0,"unit":"pgbackstop-main-verify.timer","activates":"pgbackstop-main-verify.service"},' +
  '{"next":0,"left":0,"last":0,"passed":0,"unit":"pgbackstop-main-heal.timer","activates":"pgbackstop-main-heal.service"},' +
  '{"next":1,"unit":"pgbackstop-other-full.timer"}]';

test("lists the timers of a stanza, the next one first", () => {
  expect(parseTimers(TEXT, "main")).toEqual([
    { name: "verify", nextAtS: 1_795_200_000, lastAtS: null },
    { name: "full", nextAtS: 1_795_244_400, lastAtS: 1_795_158_000 },
    { name: "heal", nextAtS: null, lastAtS: null },
  ]);
});

test("returns none for no timers, and null for another format", () => {
  expect(parseTimers("[]", "main")).toEqual([]);
  for (const text of ["NEXT LEFT\n0 timers listed.", "", '{"unit":"x"}']) expect(parseTimers(text, "main")).toBeNull();
});
