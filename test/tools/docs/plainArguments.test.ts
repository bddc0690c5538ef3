/**
 * Arguments are inputs. One that takes plain values only says what it decides (`@plain`), or is in the list of those
 * that remain, which may only get shorter.
 */
import { expect, test } from "vitest";
import { publicTypes } from "../../../tools/docs/componentsPage";
import { REMAINING } from "./plainRemaining";

/** Plain values: texts, numbers, switches and choices, also in lists and maps. Objects have fields of their own. */
function plainFields(): string[] {
  const types = publicTypes();
  const choices = types.flatMap(({ kind, name }) => (kind === "choice" ? [name] : []));
  const scalar = new RegExp(
    `^(\\{ \\[\\w+: string\\]: )?(string|number|boolean|${choices.join("|")})(\\[\\])*( \\})?$`,
  );
  return types.flatMap((type) =>
    type.kind !== "fields"
      ? []
      : type.fields.flatMap((field) =>
          field.plain === null && scalar.test(field.type.replace(/;$/, "")) ? [`${type.name}.${field.name}`] : [],
        ),
  );
}

test("every plain argument says what it decides, or is known to remain", () => {
  expect(plainFields().filter((name) => !REMAINING.includes(name))).toEqual([]);
});

test("the list of remaining plain arguments names no other one", () => {
  const plain = plainFields();
  expect(REMAINING.filter((name) => !plain.includes(name))).toEqual([]);
});

test("the reference lists what each plain argument decides", () => {
  const reasons = publicTypes()
    .flatMap((type) => (type.kind === "fields" ? type.fields : []))
    .map(({ plain }) => plain);
  expect(reasons.filter((reason) => reason !== null).length).toBeGreaterThan(15);
  expect(reasons).not.toContain("");
});
