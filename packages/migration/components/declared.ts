/** The declarations of this package's arguments, for the check of their types. */
import { ARGUMENT_KINDS, ARGUMENT_PLAIN, ARGUMENT_RANGES, ARGUMENT_TYPES } from "./argumentTypes";

/** Ranges that migrationRules.ts judges, with the remedy. */
const RULED = ["MigrationArgs.processMax", "MigrationServerArgs.port"];

export const DECLARED = {
  types: ARGUMENT_TYPES,
  ranges: Object.fromEntries(Object.entries(ARGUMENT_RANGES).filter(([argument]) => !RULED.includes(argument))),
  kinds: ARGUMENT_KINDS,
  plain: ARGUMENT_PLAIN,
};
