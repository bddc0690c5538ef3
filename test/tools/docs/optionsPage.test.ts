// claim: README.md: every option of stock's…
// claim: docs/reference/options.md: what each option does…
import { expect, test } from "vitest";
import { OPTIONS } from "../../../runtime/config/options";
import { findReason } from "../../../tools/docs/optionsPage";

test("an option without effect has a reason", () => {
  expect(OPTIONS.filter((row) => !row.acted && findReason(row) === null).map((row) => row.name)).toEqual([]);
});
