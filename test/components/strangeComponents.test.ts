/**
 * Every component besides repositories with a wrong value in any argument, at any depth, at once or late: each is
 * refused in words, or is of its declared type. The nightly form tries every argument.
 */
// claim: docs/reference/components.md: an argument that is unknown…
import { describe, expect, test } from "vitest";
import { ARGUMENT_TYPES } from "../../components/plan/arguments/argumentTypes";
import { checkArguments } from "../../components/plan/arguments/checkArguments";
import type { Keys } from "../../runtime/base/declaredTypes";
import { answerTo, isExplained } from "./answers";
import { type Base, BASES } from "./componentBases";
import { deferred } from "./deferredInputs";
import { drawn, fieldsBelow, STRANGE, withValue } from "./strangeValues";

/** Cases of each component in the short form, and at night: all 100,000 take more than ten minutes. */
const CASES = [20, 1500] as const;
/** What other components have made: they have checked it. */
const MADE = /^(at|cipher|of)$/;
/** Keys of maps in the bases. */
const KEYS: Readonly<Record<string, string>> = { clients: "orders", drills: "monthly" };

const forms = Object.entries<Base>(BASES).map(([name, base]) => ({ name, ...base }));

describe.each(forms)("$name", ({ args, make, type }) => {
  const keyBelow = (name: string): string => KEYS[name] ?? "repo1";
  const locations = fieldsBelow({ kind: "fields", name: type }, [], { types: ARGUMENT_TYPES }, keyBelow);
  const cases = locations.flatMap((keys) => ["nonsense", ...STRANGE].map((strange) => ({ keys, strange })));
  const deferrable = locations
    .filter((keys) => !keys.slice(0, -1).some((key) => MADE.test(String(key))))
    .flatMap((keys) => [undefined, ...STRANGE].map((strange) => ({ keys, strange })));

  async function faultOf(keys: Keys, strange: unknown, isDeferred: boolean): Promise<string[]> {
    const given = withValue(args, keys, isDeferred ? deferred(strange) : strange) as object;
    const what = `${keys.join(".")} = ${(JSON.stringify(strange) ?? "").slice(0, 40)}${isDeferred ? ", late" : ""}`;
    const { errors } = await answerTo(() => make(given));
    const stray = errors.filter((error) => !isExplained(error));
    if (stray.length > 0) return [`${what} throws ${String((stray[0] as Error).stack ?? stray[0]).slice(0, 600)}`];
    if (errors.length > 0) return [];
    const [wrong] = checkArguments(type, isDeferred ? withValue(args, keys, strange) : given);
    return wrong === undefined ? [] : [`${what} is taken: ${wrong.path}: ${wrong.message}`];
  }

  test("the base is taken", async () => {
    expect((await answerTo(() => make(args))).errors).toEqual([]);
  });

  const atOnce = drawn(cases, ...CASES);
  test(`a strange value is refused in words, or is of its type (${atOnce.length} of ${cases.length})`, async () => {
    const faults: string[] = [];
    for (const { keys, strange } of atOnce) faults.push(...(await faultOf(keys, strange, false)));
    expect(faults).toEqual([]);
  });

  const arriving = drawn(deferrable, ...CASES);
  test(`so is one that arrives (${arriving.length} of ${deferrable.length})`, async () => {
    const faults: string[] = [];
    for (const { keys, strange } of arriving) faults.push(...(await faultOf(keys, strange, true)));
    expect(faults).toEqual([]);
  });
});
