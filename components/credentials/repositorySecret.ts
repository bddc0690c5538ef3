/** One repository's keys and passphrase in a Kubernetes namespace. */
import { checkedArguments } from "../internal/validate";
import * as pulumi from "@pulumi/pulumi";
import { CHILD_ROLES, childName, typeToken } from "../internal/children";
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
import { given } from "../../runtime/base/given";
import { type TextMap, textsOf, withDefault } from "../internal/inputs";
import { withCheckedCipher } from "./checkedPassphrase";
import { storeOf } from "../plan/repositories/repositoryTypes";
import { renderExternalSecret, renderSecret, SECRET_KEYS, type SecretPart } from "../render/kubernetes/secrets";
import type { KnownTarget } from "../repositories/common";
import type { RepositoryTarget, SecretRef } from "../repositories/target";

/** A Secret that Pulumi writes. */
export interface NewSecret {
  /** `target` of a repository: its keys, region and passphrase. Plain, because they decide which keys `ref` names. */
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
  /** Name of the Secret. If omitted, the name of this component. */
  secretName?: pulumi.Input<string>;
  create?: NewSecret;
  /** An existing one, with keys of any names. Nothing is created. */
  existing?: SecretRef;
  external?: ExternalSecretArgs;
  /** Besides `cnpg.io/reload`, which every Secret created here has. */
  labels?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
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
    const own = checkedArguments("RepositorySecret", name, args);
    const secretName = checkChoice(name, own);
    const { create, existing, external, labels = {}, namespace } = own;
    super(typeToken("RepositorySecret"), name, { namespace, secretName: existing?.name ?? secretName }, opts);
    const metadata = { name: secretName, namespace, labels };
    if (create !== undefined) {
      const parts = secretPartsOf(withCheckedCipher(`RepositorySecret ${name}`, "create.from", create.from));
      const object = renderSecret<pulumi.Input<string>, TextMap>(metadata, parts, textsOf);
      const { object: made, content } = declareContent(childName(name, "secret"), object, { parent: this });
      showChild(this, "secret", made);
      showChild(this, CHILD_ROLES.content, content);
      this.ref = refOf(
        nameWhenMade(content, secretName),
        Object.fromEntries(Object.keys(object.stringData).map((key) => [partOf(key), key])),
      );
    } else if (external !== undefined) {
      const keys = externalKeysOf(`RepositorySecret ${name}`, "external.keys", external.keys);
      const object = renderExternalSecret<pulumi.Input<string>, TextMap>(
        metadata,
        externalSourceOf(external.store),
        Object.values(keys),
        textsOf,
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
    return shownChild(this, "secret") as Secret | undefined;
  }

  /** The ExternalSecret, with `external`. */
  public get externalSecret(): CustomResource | undefined {
    return shownChild(this, "external-secret") as CustomResource | undefined;
  }
}

/**
 * The Secret of a target that comes later: it always exists, with the keys that the target turns out to have, which may
 * be none. A child of the same name and type, so that a target may become deferred.
 */
export class DeferredRepositorySecret extends pulumi.ComponentResource {
  /** Which keys the Secret has. Waits for it. */
  public readonly keys: pulumi.Output<SecretKeys>;
  /** The Secret itself. */
  public readonly secret: pulumi.Resource;

  constructor(
    name: string,
    { from, namespace, secretName }: DeferredSecretArgs,
    opts: pulumi.ComponentResourceOptions,
  ) {
    super(typeToken("RepositorySecret"), name, { namespace, secretName }, opts);
    const texts = from.apply((target) => (target === null ? {} : given(partsOf(target))));
    const stringData = pulumi.secret(texts.apply((known) => renderSecret(NO_METADATA, known).stringData));
    const empty = renderSecret<pulumi.Input<string>>({ name: secretName, namespace, labels: {} }, {});
    const object = { ...empty, stringData };
    const { object: made, content } = declareContent(childName(name, "secret"), object, { parent: this });
    this.secret = made;
    // Names of keys are no secret, although the target is.
    const parts = pulumi.unsecret(texts).apply((known) => Object.keys(known) as SecretPart[]);
    this.keys = pulumi
      .all([nameWhenMade(content, secretName), parts])
      .apply(
        ([named, present]): SecretKeys =>
          Object.fromEntries(present.map((part) => [part, { name: named, key: SECRET_KEYS[part] }])),
      );
    this.registerOutputs({});
  }
}

interface DeferredSecretArgs {
  readonly namespace: pulumi.Input<string>;
  readonly secretName: pulumi.Input<string>;
  readonly from: pulumi.Output<KnownTarget | null>;
}

/** Each part that a Secret has, and its key there. */
type SecretKeys = Partial<Record<SecretPart, { readonly name: string; readonly key: string }>>;

const NO_METADATA = { name: "", namespace: "", labels: {} };

/** What a repository's Secret may hold. */
interface Keys<T> {
  readonly azure?: { readonly credentials?: { readonly key: T } };
  readonly cipher?: { readonly passphrase: T };
  readonly gcs?: { readonly credentials?: { readonly key: T } };
  readonly s3?: {
    readonly credentials?: { readonly accessKeyId: T; readonly secretAccessKey: T; readonly sessionToken?: T };
    readonly region: T;
  };
}

function partsOf<T>({ azure, cipher, gcs, s3 }: Keys<T>): Partial<Record<SecretPart, T | undefined>> {
  const { credentials, region } = s3 ?? { credentials: undefined, region: undefined };
  return {
    accessKeyId: credentials?.accessKeyId,
    secretAccessKey: credentials?.secretAccessKey,
    sessionToken: credentials?.sessionToken,
    azureKey: azure?.credentials?.key,
    gcsKey: gcs?.credentials?.key,
    passphrase: cipher?.passphrase,
    region: credentials === undefined ? undefined : region,
  };
}

/** Known in every preview, and available only after the object was created. */
export function nameWhenMade(made: pulumi.Resource, name: pulumi.Input<string>): pulumi.Output<string> {
  return made.urn.apply(() => pulumi.output(name));
}

/** The name of the Secret that is created, checked after the choice and before its content. */
function checkChoice(
  name: string,
  { create, existing, external, secretName: declared }: RepositorySecretArgs,
): pulumi.Input<string> {
  // An output may have no value.
  const secretName = withDefault(declared, name);
  const sources = Object.entries({ create, existing, external }).flatMap(([field, value]) =>
    value === undefined ? [] : [field],
  );
  const title = `RepositorySecret ${name}`;
  if (sources.length !== 1) {
    const fact =
      sources.length === 0 ? "create, existing and external are all missing" : `${sources.join(" and ")} are given`;
    throw new pulumi.InputPropertyError({
      propertyPath: sources[1] ?? "create",
      reason: `${title}: ${fact}; give exactly one`,
    });
  }
  const checked = existing === undefined ? checkedSecretName(title, secretName) : secretName;
  if (create === undefined) return checked;
  const store = storeOf(create.from);
  if (store?.credentials === undefined && create.from.cipher === undefined) {
    const fact =
      store === undefined
        ? "it is not a bucket, and has no passphrase"
        : "it has neither keys nor a passphrase, and a role needs no Secret";
    throw new pulumi.InputPropertyError({
      propertyPath: "create.from",
      reason: `${title}: there is nothing to put into a Secret for ${create.from.name}: ${fact}`,
    });
  }
  return checked;
}

/** Everything but the region is secret, whatever it was given as. */
function secretPartsOf(target: RepositoryTarget): ReturnType<typeof partsOf<pulumi.Input<string>>> {
  const { region, ...secrets } = partsOf<pulumi.Input<string>>(target);
  const parts = Object.entries(given(secrets)).map(([part, value]) => [part, pulumi.secret(value)]);
  return { ...Object.fromEntries(parts), region };
}

function partOf(secretKey: string): string {
  return Object.entries(SECRET_KEYS).find(([, key]) => key === secretKey)?.[0] ?? secretKey;
}
