import { expect, test } from "vitest";
import { RULES } from "../../../components/plan/findings/ruleTable";

test("every code is described in components/plan/findings/ruleTable.ts", () => {
  expect(Object.entries(RULES).filter(([, { wayOut, what, why }]) => [wayOut, what, why].includes(""))).toEqual([]);
});
