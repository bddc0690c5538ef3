/**
 * Arguments are inputs. One that takes plain values only says what it decides (`@plain`).
 */
// claim: docs/reference/components.md: "Plain arguments": every other…
import { expect, test } from "vitest";
import { publicTypes } from "../../../tools/docs/componentsPage";

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

test("every plain argument says what it decides", () => {
  expect(plainFields()).toEqual([]);
});

test("the reference lists what each plain argument decides", () => {
  const reasons = publicTypes()
    .flatMap((type) => (type.kind === "fields" ? type.fields : []))
    .map(({ plain }) => plain);
  expect(reasons.filter((reason) => reason !== null).length).toBeGreaterThan(15);
  expect(reasons).not.toContain("");
});
