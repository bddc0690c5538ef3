/** Findings about entries of `acknowledgeWeaker`. */
import { expect, test } from "vitest";
import { checkHost } from "../../../components/plan/rules";
import { plan } from "../plans";

const REASON = "the NAS is full until the new disks come";

function printed(key: string, reason = REASON): string[] {
  return checkHost(plan({ acknowledgeWeaker: { [key]: reason } })).map(
    ({ code, path, message, hint }) => `${code} ${path}: ${message}; ${hint}`,
  );
}

test("an entry with a reason is no finding", () => {
  expect(printed("repositories.repo1.keepDays=7")).toEqual([]);
});

test("an entry without a reason acknowledges nothing", () => {
  expect(printed("repositories.repo1.keepDays=7", " ")).toEqual([
    "PB098 acknowledgeWeaker.repositories.repo1.keepDays=7: without a reason the entry acknowledges nothing; write why the change is intended",
  ]);
});
