/** Passphrases on their way into files and Secrets: hosts and clusters refuse the same ones, in the same words. */
import type * as pulumi from "@pulumi/pulumi";
import { appliedSecret } from "../internal/inputs";
import { throwErrors } from "../internal/validate";
import { checkArguments } from "../plan/arguments/checkArguments";
import { checkPassphrase } from "../plan/rules/credentials";
import type { CipherRef } from "../repositories/target";

/** An unusable passphrase is an error of `component`, immediately or when it arrives. The error does not show it. */
export function checkedPassphrase(
  component: string,
  path: string,
  passphrase: pulumi.Input<string>,
): pulumi.Input<string> {
  const check = (known: string): string => {
    // A hand-written target in another language may have a number.
    const wrong = checkArguments("CipherRef", { passphrase: known }).map((each) => ({ ...each, path }));
    throwErrors(component, wrong.length > 0 ? wrong : checkPassphrase(path, known));
    return known;
  };
  return typeof passphrase === "string" ? check(passphrase) : appliedSecret(passphrase, check);
}

/** The target with {@link checkedPassphrase}. @param path `repositories.repo1.at` */
export function withCheckedCipher<T extends { readonly cipher?: CipherRef | { readonly passphrase: string } }>(
  component: string,
  path: string,
  target: T,
): T {
  if (target.cipher === undefined) return target;
  const passphrase = checkedPassphrase(component, `${path}.cipher.passphrase`, target.cipher.passphrase);
  return { ...target, cipher: { passphrase } };
}
