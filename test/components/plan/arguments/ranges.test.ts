/** Ranges of numbers: the declarations' tags, the checks, the schema for editors and the runtime's limits agree. */
import Ajv from "ajv";
import { describe, expect, test } from "vitest";
import { ARGUMENT_RANGES, ARGUMENT_TYPES } from "../../../../components/plan/arguments/argumentTypes";
import { checkArguments } from "../../../../components/plan/arguments/checkArguments";
import { checkRange, isInRange, type RangedArgument } from "../../../../components/plan/arguments/ranges";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import type { NumberRange } from "../../../../runtime/base/declaredTypes";
import { FILE_DECLARATIONS } from "../../../../runtime/base/fileDeclarations";
import { publicTypes } from "../../../../tools/docs/componentsPage";
import { renderSchema } from "../../../../tools/parts/build/renderSchema";

const ranges = Object.entries<NumberRange>(ARGUMENT_RANGES) as [RangedArgument, NumberRange][];
const { definitions } = renderSchema() as { definitions: Record<string, { properties?: Record<string, object> }> };
/** Sections of a file that have a type's fields under another name. */
const IN_FILES: Readonly<Record<string, string>> = {
  ClusterBackupArgs: "FileCluster",
  CnpgBackupArgs: "FileAttachment",
  CnpgClusterArgs: "FileCluster",
  HostBaseArgs: "FileHost",
  PostgresHostArgs: "FileHost",
};

describe.each(ranges)("%s", (argument, { above, from, max, min }) => {
  const least = min ?? from ?? (above ?? 0) + 0.5;
  const values: readonly (readonly [value: number, fits: boolean])[] = [
    [least, true],
    [least - 1, false],
    [least + 0.5, min === undefined],
    ...(max === undefined
      ? []
      : ([
          [max, true],
          [max + 1, false],
        ] as const)),
  ];

  test("takes its smallest and largest value, and no other", () => {
    for (const [value, fits] of values) expect(isInRange(argument, value), String(value)).toBe(fits);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, "5", null])
      expect(isInRange(argument, value), String(value)).toBe(false);
    expect(isInRange(argument, unknownMarker(0))).toBe(true);
    expect(checkRange(argument, "a", undefined)).toEqual([]);
    expect(checkRange(argument, "a", -(2 ** 31))).toMatchObject([{ path: "a", severity: "error" }]);
  });

  test("has the same range in the schema for editors", () => {
    const [type = "", field = ""] = argument.split(".");
    const schema = definitions[IN_FILES[type] ?? type]?.properties?.[field];
    // Of a list the range is its length.
    if (schema === undefined || "items" in schema) return;
    const validate = new Ajv({ strict: false }).compile(schema);
    for (const [value, fits] of values) expect(validate(value), String(value)).toBe(fits);
  });
});

test("the schema has the defaults that are values", () => {
  expect(definitions["FileHost"]?.properties).toMatchObject({
    port: { type: "integer", minimum: 1, maximum: 65535, default: 5432 },
    processMax: { default: 2 },
  });
});

test("a number without a rule of its own is judged by the check of types", () => {
  expect(checkArguments("SshConnection", { host: "db1", port: 0 })).toMatchObject([
    { code: "PB191", path: "port", message: "it is 0, and must be 1 to 65535" },
  ]);
  expect(checkArguments("SshConnection", { host: "db1", port: unknownMarker(0) })).toEqual([]);
});

test("what the runtime refuses in pgbackstop.json is outside the range", () => {
  for (const field of ["intervalSeconds", "degradeAfterSeconds", "groupMilliseconds"])
    expect(ARGUMENT_RANGES[`StreamingArgs.${field}` as RangedArgument]).toEqual(
      FILE_DECLARATIONS.ranges?.[`StreamFile.${field}`],
    );
});

/** CloudNativePG judges its own. */
const OPERATORS = new Set(
  publicTypes().flatMap((type) => (type.kind === "fields" && type.isOperators ? [type.name] : [])),
);

test("every number of an argument has a range", () => {
  const numbers = Object.entries<Readonly<Record<string, string>>>(ARGUMENT_TYPES).flatMap(([type, rows]) =>
    Object.entries(rows).flatMap(([key, text]) =>
      /^(Input<)?number>?$/.test(text) && !OPERATORS.has(type) ? [`${type}.${key.replace("?", "")}`] : [],
    ),
  );
  expect(numbers.filter((argument) => !Object.hasOwn(ARGUMENT_RANGES, argument))).toEqual([]);
});
