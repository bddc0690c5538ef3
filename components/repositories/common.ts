/** Common parts of the repository components: late paths, arguments without secrets, read-only keys. */
import * as pulumi from "@pulumi/pulumi";
import { throwErrors, withoutSecretValues } from "../internal/validate";
import { childName, typeToken } from "../internal/children";
import { checkKeyPrefix } from "../plan/storage/bucketChecks";
import { DEFAULTS } from "../plan/model/defaults";
import { kindOf, REPOSITORY_KINDS, typeOf } from "../plan/repositories/repositoryTypes";
import type { CipherRef, RepositoryTarget, S3Credentials } from "./target";

/** The prefix of a bucket's keys; an unusable late one is an error of `component` when it arrives. */
export function checkedKeyPrefix(
  component: string,
  path: pulumi.Input<string> = DEFAULTS.repositoryPath,
): pulumi.Input<string> {
  if (typeof path === "string") return path;
  const deferred = pulumi.output(path);
  return pulumi.all([deferred, pulumi.isSecret(deferred)]).apply(([value, secret]) => {
    throwErrors(
      component,
      withoutSecretValues(checkKeyPrefix(value), () => (secret ? [] : checkKeyPrefix(value))),
    );
    return value;
  });
}

/** The arguments without secrets: keys and cipher are replaced by their existence. */
export function withoutKeys(args: {
  readonly cipher?: CipherRef;
  readonly credentials?: { readonly keys?: object };
}): object {
  const { cipher: _cipher, credentials, ...others } = args;
  if (credentials === undefined) return others;
  const { keys, ...choices } = credentials;
  return { ...others, credentials: { ...choices, ...(keys === undefined ? {} : { keys: {} }) } };
}

/** A target as a plan takes it, without what is secret: of keys and passphrases remains that there are some. */
export function targetSettings(target: RepositoryTarget): object {
  const { cipher, ...others } = target;
  const base = Object.entries(others).filter(([field]) => !REPOSITORY_KINDS.some((kind) => kind === field));
  return {
    ...Object.fromEntries(base),
    encrypted: cipher !== undefined,
    ...typeOf({ kind: kindOf(target) }).open(target),
  };
}

/** The `cipher` of a target, secret; nothing where there is none. */
export function secretCipher(cipher: CipherRef | undefined): { cipher?: CipherRef } {
  return cipher === undefined ? {} : { cipher: { passphrase: pulumi.secret(cipher.passphrase) } };
}

/** The same repository with read-only keys. */
export function readerTargetOf(target: RepositoryTarget, credentials: S3Credentials): RepositoryTarget {
  const { s3, ...others } = target;
  if (s3 === undefined) return { ...target, readOnly: true };
  const { existingSecret: _secret, ...location } = s3;
  return { ...others, s3: { ...location, credentials }, readOnly: true };
}

/**
 * Keeps the keys of a protected repository. Dependents are deleted first, so a `destroy` reaches this resource first
 * and stops at its protection, while all keys still work.
 */
class KeyGuard extends pulumi.ComponentResource {
  constructor(name: string, opts: pulumi.ComponentResourceOptions) {
    super(typeToken("KeyGuard"), name, {}, opts);
    this.registerOutputs({});
  }
}

/**
 * Every repository that can create keys has one, even without keys: a resource that appears and disappears could not be
 * protected.
 */
export function guardKeys(
  name: string,
  keys: readonly pulumi.Resource[],
  parent: pulumi.Resource,
  protect: boolean,
): void {
  new KeyGuard(childName(name, "guard"), { parent, protect, dependsOn: [...keys] });
}
