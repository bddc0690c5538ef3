/** Checks a label from the user. */
import { fail } from "../../base/errors";
import { isLabel } from "../../format/repository/label";

/** @throws optionInvalidValue (32) */
export function requireLabel(text: string): void {
  if (!isLabel(text)) throw fail("optionInvalidValue", `'${text}' is not a valid backup label format`);
}
