// claim: docs/reference/rules.md: what each finding means…
import { expect, test } from "vitest";
import { RULES } from "../../../components/plan/findings/ruleTable";

test("components/plan/findings/ruleTable.ts describes every code", () => {
  expect(Object.entries(RULES).filter(([, { remedy, what, why }]) => [remedy, what, why].includes(""))).toEqual([]);
});
