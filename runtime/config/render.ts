/** Structured options to the text of `pgbackrest.conf`. Pure; no file access. */
import { fail } from "../base/errors";

export interface ConfSection {
  /** `global`, `global:archive-push`, `main`, `main:backup`. */
  readonly name: string;
  readonly options: readonly { readonly name: string; readonly value: string | boolean | number | readonly string[] }[];
}

/** @throws optionInvalid, optionInvalidValue for what loading the text would refuse or ignore. */
export function renderConf(sections: readonly ConfSection[], comment?: string): string {
  throw fail("featureNotSupported", `unable to render ${sections.length} sections ${comment ?? ""}`);
}
