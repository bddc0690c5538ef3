/** What the repository components have in common: paths that may be known later, arguments without what is secret, keys that only read. */
import * as pulumi from "@pulumi/pulumi";
import { throwErrors, withoutSecretValues } from "../internal/validate";
import { childName, typeToken } from "../internal/children";
import { checkKeyPrefix } from "../plan/storage/bucketChecks";
import { DEFAULTS } from "../plan/model/defaults";
import { kindOf, REPOSITORY_KINDS, typeOf } from "../plan/repositories/repositoryTypes";
import type { CipherRef, RepositoryTarget, S3Credentials } from "./target";

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

/** A target as a plan takes it, without what is secret: of keys and passphrases remains that there are some. */
export function targetSettings(target: RepositoryTarget): object {
  const { cipher, ...others } = target;
  const place = Object.entries(others).filter(([field]) => !REPOSITORY_KINDS.some((kind) => kind === field));
  return { ...Object.fromEntries(place), encrypted: cipher !== undefined, ...typeOf({ kind: kindOf(target) }).open(target) };
}

/** The `cipher` of a target, secret; nothing where there is none. */
export function secretCipher(cipher: CipherRef | undefined): { cipher?: CipherRef } {
  return cipher === undefined ? {} : { cipher: { passphrase: pulumi.secret(cipher.passphrase) } };
}

/** The same place with keys that only read. */
export function readerTargetOf(target: RepositoryTarget, credentials: S3Credentials): RepositoryTarget {
  const { s3, ...others } = target;
  if (s3 === undefined) return { ...target, readOnly: true };
  const { existingSecret: _secret, ...location } = s3;
  return { ...others, s3: { ...location, credentials }, readOnly: true };
}

/**
 * Keeps the keys of a protected repository. What depends on something is deleted before it, so a `destroy` comes by here first and ends at the
 * protection, while all keys still work.
 */
class KeyGuard extends pulumi.ComponentResource {
  constructor(name: string, opts: pulumi.ComponentResourceOptions) {
    super(typeToken("KeyGuard"), name, {}, opts);
    this.registerOutputs({});
  }
}

/** Of every repository that may make keys, also while it makes none: what comes and goes could not be protected. */
export function guardKeys(name: string, keys: readonly pulumi.Resource[], parent: pulumi.Resource, protect: boolean): void {
  new KeyGuard(childName(name, "guard"), { parent, protect, dependsOn: [...keys] });
}
