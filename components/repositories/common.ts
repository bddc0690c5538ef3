/** What the repository components have in common: paths that may be known later, and arguments without what is secret. */
import * as pulumi from "@pulumi/pulumi";
import { throwErrors, withoutSecretValues } from "../internal/validate";
import { checkKeyPrefix } from "../plan/bucketChecks";
import { DEFAULTS } from "../plan/defaults";
import type { CipherRef } from "./target";

/** The prefix of a bucket's keys; one that is known later, and cannot be used, is an error of `component` then. */
export function checkedKeyPrefix(component: string, path: pulumi.Input<string> = DEFAULTS.repositoryPath): pulumi.Input<string> {
  if (typeof path === "string") return path;
  const later = pulumi.output(path);
  return pulumi.all([later, pulumi.isSecret(later)]).apply(([value, secret]) => {
    throwErrors(
      component,
      withoutSecretValues(checkKeyPrefix(value), () => (secret ? [] : checkKeyPrefix(value))),
    );
    return value;
  });
}

/** The arguments without what is secret: of keys and cipher remains that there are some. */
export function withoutKeys(args: { readonly cipher?: CipherRef; readonly credentials?: { readonly keys?: object } }): object {
  const { cipher: _cipher, credentials, ...others } = args;
  if (credentials === undefined) return others;
  const { keys, ...choices } = credentials;
  return { ...others, credentials: { ...choices, ...(keys === undefined ? {} : { keys: {} }) } };
}

/** The `cipher` of a target, secret; nothing where there is none. */
export function secretCipher(cipher: CipherRef | undefined): { cipher?: CipherRef } {
  return cipher === undefined ? {} : { cipher: { passphrase: pulumi.secret(cipher.passphrase) } };
}
