/**
 * fast-check with a fixed seed, so that test runs repeat: by day a part of each property's cases is enough. The nightly
 * form draws a new seed and all cases. A failure prints the seed, and `PGBACKSTOP_SEED` repeats it.
 */
import * as whole from "fast-check";
import { NIGHTLY } from "../../tools/parts/nightly";

export * from "fast-check";

const DAY_SHARE = 0.4;
const DEFAULT_RUNS = 100;
const given = process.env["PGBACKSTOP_SEED"];
const isWhole = NIGHTLY || given !== undefined;

const seed = given ?? (NIGHTLY ? null : "20260722");
if (seed !== null) whole.configureGlobal({ ...whole.readConfigureGlobal(), seed: Number(seed) });

/** As fast-check's. */
export const assert = ((
  property: whole.IRawProperty<unknown>,
  { numRuns = DEFAULT_RUNS, ...parameters }: whole.Parameters<unknown> = {},
) =>
  whole.assert(property, {
    ...parameters,
    numRuns: isWhole ? numRuns : Math.ceil(DAY_SHARE * numRuns),
  })) as typeof whole.assert;

/** With all cases by day too: for a property that counts what its cases reached. */
export const assertWhole = whole.assert;
