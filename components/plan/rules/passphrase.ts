/** The passphrase of a repository. It is in no plan, so what passes it on checks it. Pure. */
import { findLineFault } from "../../../runtime/config/render";
import { type Finding, finding } from "../findings/findings";

/** Without the passphrase itself. @param path of the argument */
export function checkPassphrase(path: string, passphrase: string): Finding[] {
  const fault = findLineFault(passphrase);
  if (fault === null) return [];
  const hint = "give it in one line without blanks around it, or generate one with CipherPassphrase";
  return [finding("PB105", path, `the passphrase ${fault}`, hint)];
}
