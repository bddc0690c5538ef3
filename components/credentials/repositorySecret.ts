/** One repository's keys and passphrase in a Kubernetes namespace. */
import * as pulumi from "@pulumi/pulumi";
import { childName, typeToken } from "../internal/children";
import { declareContent } from "../internal/content";
import {
  type CustomResource,
  declareKubernetes,
  type Secret,
  showChild,
  shownChild,
} from "../internal/kubernetesObjects";
import {
  checkedSecretName,
  type ExternalKeys,
  externalKeysOf,
  type ExternalStore,
  externalSourceOf,
  refOf,
} from "./externalKeys";
import { renderExternalSecret, renderSecret, SECRET_KEYS } from "../render/kubernetes/secrets";
import type { RepositoryTarget, SecretRef } from "../repositories/target";

/** A Secret that Pulumi writes. */
export interface NewSecret {
  /** `target` of a repository: its keys, region and passphrase. */
  from: RepositoryTarget;
}

/** A Secret that the External Secrets Operator writes, out of a store such as 1Password or Vault. */
export interface ExternalSecretArgs {
  store: ExternalStore;
  keys: ExternalKeys;
}

/** Exactly one of `create`, `existing` and `external`. */
export interface RepositorySecretArgs {
  /** Namespace of the cluster that reads it. */
  namespace: pulumi.Input<string>;
  /** Name of the Secret. Left out, the name of this component. */
  secretName?: pulumi.Input<string>;
  create?: NewSecret;
  /** An existing one, with keys of any names. Nothing is created. */
  existing?: SecretRef;
  external?: ExternalSecretArgs;
  /** Besides `cnpg.io/reload`, which every Secret created here has. */
  labels?: { [key: string]: pulumi.Input<string> };
}

/**
 * Puts one repository's keys and passphrase into a namespace, in one form for every engine, or names an existing
 * Secret.
 *
 * Creates one `Secret`, one `ExternalSecret`, or nothing. Destroying it removes what it created; the keys themselves
 * stay valid.
 *
 * ```ts
 * const keys = new RepositorySecret("orders-b2", { namespace: "orders", create: { from: b2.target } });
 * const minio = new RepositorySecret("minio", {
 *   namespace: "apps",
 *   existing: {
 *     name: "longhorn-minio-credentials",
 *     accessKeyIdKey: "AWS_ACCESS_KEY_ID",
 *     secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY",
 *   },
 * });
 * ```
 */
export class RepositorySecret extends pulumi.ComponentResource {
  /** Names of the Secret and of its keys, for engines. Waits for the Secret. */
  public readonly ref: SecretRef;

  constructor(name: string, args: RepositorySecretArgs, opts?: pulumi.ComponentResourceOptions) {
    checkChoice(name, args);
    const { create, existing, external, labels = {}, namespace } = args;
    const secretName = checkedSecretName(`RepositorySecret ${name}`, args.secretName ?? name);
    super(typeToken("RepositorySecret"), name, { namespace, secretName: existing?.name ?? secretName }, opts);
    const metadata = { name: secretName, namespace, labels };
    if (create !== undefined) {
      const parts = partsOf(create.from);
      const object = renderSecret<pulumi.Input<string>>(metadata, parts);
      const { object: made, content } = declareContent(childName(name, "secret"), object, {
        parent: this,
        additionalSecretOutputs: ["data", "stringData"],
      });
      showChild(this, "secret", made);
      this.ref = refOf(
        nameWhenMade(content, secretName),
        Object.fromEntries(Object.keys(object.stringData).map((key) => [partOf(key), key])),
      );
    } else if (external !== undefined) {
      const keys = externalKeysOf(external.keys, "");
      const object = renderExternalSecret<pulumi.Input<string>>(
        metadata,
        externalSourceOf(external.store),
        Object.values(keys),
      );
      const made = declareKubernetes(childName(name, "secret"), object, { parent: this });
      showChild(this, "external-secret", made);
      this.ref = refOf(
        nameWhenMade(made, secretName),
        Object.fromEntries(Object.entries(keys).map(([part, key]) => [part, key.secretKey])),
      );
    } else {
      this.ref = existing ?? { name: secretName };
    }
    this.registerOutputs({});
  }

  /** The Secret, with `create`. */
  public get secret(): Secret | undefined {
    return shownChild(this, "secret");
  }

  /** The ExternalSecret, with `external`. */
  public get externalSecret(): CustomResource | undefined {
    return shownChild(this, "external-secret");
  }
}

/** Known in every preview, and available only after the object was created. */
export function nameWhenMade(made: pulumi.Resource, name: pulumi.Input<string>): pulumi.Output<string> {
  return made.urn.apply(() => pulumi.output(name));
}

function checkChoice(name: string, { create, existing, external }: RepositorySecretArgs): void {
  const given = Object.entries({ create, existing, external }).flatMap(([field, value]) =>
    value === undefined ? [] : [field],
  );
  const title = `RepositorySecret ${name}`;
  if (given.length !== 1) {
    const fact =
      given.length === 0 ? "create, existing and external are all missing" : `${given.join(" and ")} are given`;
    throw new pulumi.InputPropertyError({
      propertyPath: given[1] ?? "create",
      reason: `${title}: ${fact}; give exactly one`,
    });
  }
  if (create === undefined) return;
  const { s3 } = create.from;
  if (s3 === undefined || (s3.credentials === undefined && create.from.cipher === undefined)) {
    const fact =
      s3 === undefined ? "it is not a bucket" : "it has neither keys nor a passphrase, and a role needs no Secret";
    throw new pulumi.InputPropertyError({
      propertyPath: "create.from",
      reason: `${title}: there is nothing to put into a Secret for ${create.from.name}: ${fact}`,
    });
  }
}

function partsOf({ cipher, s3 }: RepositoryTarget): Parameters<typeof renderSecret<pulumi.Input<string>>>[1] {
  const { credentials, region } = s3 ?? { credentials: undefined, region: undefined };
  const secret = (value: pulumi.Input<string> | undefined): pulumi.Input<string> | undefined =>
    value === undefined ? undefined : pulumi.secret(value);
  return {
    accessKeyId: secret(credentials?.accessKeyId),
    secretAccessKey: secret(credentials?.secretAccessKey),
    sessionToken: secret(credentials?.sessionToken),
    passphrase: secret(cipher?.passphrase),
    region: credentials === undefined ? undefined : region,
  };
}

function partOf(secretKey: string): string {
  return Object.entries(SECRET_KEYS).find(([, key]) => key === secretKey)?.[0] ?? secretKey;
}
