/** The form of a test run that repeats each kind: `npm test -- --nightly` sets it for the tests' processes. */

export const NIGHTLY_VARIABLE = "PGBACKSTOP_NIGHTLY";
export const NIGHTLY = process.env[NIGHTLY_VARIABLE] === "1";

/** The first case; in the nightly form also those that repeat its kind. */
export function atNight<const T>(first: T, ...repeats: readonly T[]): readonly T[] {
  return NIGHTLY ? [first, ...repeats] : [first];
}
