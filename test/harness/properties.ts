/**
 * fast-check with a fixed seed, so that test runs repeat. The long form draws a new seed in each run. A failure prints
 * it, and `PGBACKSTOP_SEED` repeats it.
 */
import * as fc from "fast-check";
import { NIGHTLY } from "../../tools/parts/nightly";

const seed = process.env["PGBACKSTOP_SEED"] ?? (NIGHTLY ? null : "20260722");
if (seed !== null) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(seed) });

export { fc };
