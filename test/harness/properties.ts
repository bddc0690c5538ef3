/**
 * fast-check with one seed, so that a run of the tests repeats the one before it. The long form draws a seed of its own
 * in each run; a failure prints it, and `PGBACKSTOP_SEED` repeats it.
 */
import * as fc from "fast-check";

const seed = process.env["PGBACKSTOP_SEED"] ?? (process.env["PGBACKSTOP_LONG"] === "1" ? null : "20260722");
if (seed !== null) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(seed) });

export { fc };
