import { expect, test } from "vitest";
import { isTimeZone } from "../../../runtime/config/timeZone";

test("time zones are IANA names or UTC, never offsets", () => {
  for (const good of ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
    expect(isTimeZone(good), good).toBe(true);
  for (const bad of ["+02:00", "Mars/Phobos", "", "Europe/Berlin; rm", "UTC\n", "Europe /Berlin"])
    expect(isTimeZone(bad), bad).toBe(false);
});
