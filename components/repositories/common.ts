/** Common parts of the repository components: deferred paths, arguments without secrets, read-only keys. */
import * as pulumi from "@pulumi/pulumi";
import { isDeferredInput, secretText, splitKnown, withDefault } from "../internal/inputs";
import { CipherPassphrase, isChecked } from "../credentials/cipherPassphrase";
import { watchLocation } from "../credentials/renamedPassphrase";
import { checkedArguments, logInTwoSteps } from "../internal/validate";
import { childName } from "../internal/children";
import type { Finding } from "../plan/findings/findings";
import { DEFAULTS } from "../plan/model/defaults";
import { estimateStorage, type StorageCost } from "../plan/storage/cost";
import { given } from "../../runtime/base/given";
import { kindOf, REPOSITORY_KINDS, storeKindOf, storeOf, typeOf } from "../plan/repositories/repositoryTypes";
import { NO_TARGET } from "../plan/repositories/unknownType";
import { type BucketKind, refusedIfRenamed } from "./renamedBucket";
import type { BucketContentArgs, EncryptionArgs } from "./repositoryArgs";
import type {
  AzureCredentials,
  CipherRef,
  GcsCredentials,
  RepositoryTarget,
  S3Credentials,
  SftpLocation,
} from "./target";

/**
 * {@link checkedArguments} of a repository.
 * @param check of the arguments, with markers for what is not known yet
 */
export function repositoryArguments<Args extends EncryptionArgs>(
  component: Parameters<typeof checkedArguments>[0],
  name: string,
  args: Args,
  check?: (values: pulumi.Unwrap<Args>) => readonly Finding[],
): Args {
  // A passphrase is known by its output: each repository with it counts as a use.
  const kept = ({ cipher }: Args): readonly unknown[] => (isChecked(cipher) ? [cipher] : []);
  return {
    ...checkedArguments(component, name, args, { ...given({ check }), kept }),
    ...given({ cipher: args.cipher }),
  };
}

/** A plan of a bucket, of which some values come with `undeleteDays`. */
export type PlannedBucket<Plan, Fields extends keyof Plan> = Omit<Plan, Fields> & {
  readonly [Key in Fields]: pulumi.Input<Plan[Key]>;
};

/** How a component finds, plans and checks its bucket. */
interface BucketRules<Settings, Plan, Fields> {
  readonly kind: BucketKind;
  /** Those of the plan that follow from `undeleteDays`. */
  readonly fields: readonly Fields[];
  resolve(settings: Settings): Plan;
  check(settings: Settings): readonly Finding[];
}

/** A repository in a bucket before its children exist. */
interface PreparedBucket<Plan> {
  readonly path: pulumi.Input<string>;
  readonly plan: Plan;
  /** Inputs and options of the component. */
  readonly inputs: object;
  readonly opts: pulumi.ComponentResourceOptions | undefined;
  /** Logs the warnings. Returns the options of the bucket. */
  begin(repository: pulumi.Resource): pulumi.CustomResourceOptions & { readonly protect: boolean };
  readonly record: ReturnType<typeof watchLocation>["record"];
}

/**
 * @param title of the repository: its class and its name
 * @param own its checked arguments
 */
export function prepareBucket<Settings extends object, Plan extends object, Fields extends keyof Plan>(
  title: string,
  own: BucketContentArgs & {
    readonly credentials?: { readonly keys?: object };
    readonly undeleteDays?: pulumi.Input<number>;
  },
  opts: pulumi.ComponentResourceOptions | undefined,
  { check, fields, kind, resolve }: BucketRules<Settings, Plan, Fields>,
): PreparedBucket<PlannedBucket<Plan, Fields>> {
  const { undeleteDays } = own;
  const settings = withoutKeys(own);
  const path = withDefault(own.path, DEFAULTS.repositoryPath);
  const inputs = { ...settings, path, encrypted: isEncrypted(title, own) };
  const known = splitKnown(settings).value as Settings;
  const findings = check(known);
  const final = isDeferredInput(undeleteDays)
    ? pulumi.output(undeleteDays).apply((days) => ({ ...known, undeleteDays: days }))
    : null;
  const deferred = final === null ? [] : fields.map((field) => [field, final.apply((all) => resolve(all)[field])]);
  const watched = watchLocation(refusedIfRenamed(title, opts, kind));
  return {
    path,
    plan: { ...resolve(known), ...(Object.fromEntries(deferred) as { [Key in Fields]: pulumi.Output<Plan[Key]> }) },
    inputs,
    opts: watched.opts,
    begin(repository) {
      logInTwoSteps(findings, final?.apply(check) ?? null, repository);
      return { parent: repository, protect: opts?.protect ?? true, retainOnDelete: opts?.retainOnDelete ?? true };
    },
    record: watched.record,
  };
}

/** Price of storage, for repositories with an amount and a known price. */
export interface CostOutputs {
  readonly monthlyCostUsd?: pulumi.Output<number>;
  readonly pricesAsOf?: pulumi.Output<string>;
}

/** What a price depends on. An unknown amount has no price. */
interface CostFacts {
  readonly storedGiB: pulumi.Input<number> | undefined;
  readonly endpoint?: pulumi.Input<string>;
  readonly quirks?: pulumi.Input<string>;
  readonly storageClass?: pulumi.Input<string>;
}

/** @param priceOf known facts */
export function costOutputs(
  facts: CostFacts,
  priceOf: (known: pulumi.Unwrap<CostFacts>) => StorageCost | null,
): CostOutputs {
  if (facts.storedGiB === undefined) return {};
  const { deferred, value } = splitKnown(facts);
  if (deferred.size === 0) {
    const cost = priceOf(value);
    return cost === null ? {} : { monthlyCostUsd: pulumi.output(cost.perMonth), pricesAsOf: pulumi.output(cost.asOf) };
  }
  const cost = pulumi
    .output<CostFacts>(facts)
    .apply((known) => (known.storedGiB === undefined ? null : priceOf(known)));
  // Undefined inside of an output leaves it out.
  return {
    monthlyCostUsd: cost.apply((known) => known?.perMonth as number),
    pricesAsOf: cost.apply((known) => known?.asOf as string),
  };
}

/** The price of keeping that amount at a provider, by default in its standard class. */
export function storageCost(
  provider: string,
  storedGiB: pulumi.Input<number> | undefined,
  storageClass?: pulumi.Input<string>,
): CostOutputs {
  return costOutputs({ storedGiB, ...given({ storageClass }) }, (known) =>
    estimateStorage(provider, known.storageClass, known.storedGiB),
  );
}

/** Outputs that a repository has or lacks, by its arguments. */
interface ChosenOutputs extends CostOutputs {
  readonly passphrase?: pulumi.Output<string> | undefined;
  readonly readerCredentials?: object | undefined;
  readonly recoveryCredentials?: object | undefined;
  readonly roleArn?: pulumi.Output<string> | undefined;
}

/** Sets the fields of a repository that it has, and returns them for its state. */
export function setChosen(repository: ChosenOutputs & pulumi.Resource, outputs: ChosenOutputs): object {
  const chosen = given(outputs);
  Object.assign(repository, chosen);
  return chosen;
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

/** Targets of the repositories of a database: their components have checked them. */
export function keptTargets({
  repositories = {},
}: {
  readonly repositories?: { readonly [key: string]: { readonly at: pulumi.Input<RepositoryTarget> } };
}): readonly unknown[] {
  return Object.values(repositories).map(({ at }) => at);
}

/** A target with all values known; null for anything else that an output may have instead. */
export type KnownTarget = pulumi.Unwrap<RepositoryTarget>;

/** Secret if any part of the target is. */
export function knownTarget(target: pulumi.Input<RepositoryTarget>): pulumi.Output<KnownTarget | null> {
  return pulumi.output<object>(target).apply((value: object | undefined) => (isTarget(value) ? value : null));
}

function isTarget(value: unknown): value is KnownTarget {
  if (typeof value !== "object" || value === null) return false;
  return "name" in value && typeof value.name === "string" && "path" in value && typeof value.path === "string";
}

/**
 * A target as a plan takes it, without what is secret: of keys and passphrases remains that there are some. An output
 * for a target that comes later; it is secret only if the location itself is, or may be.
 */
export function openTarget(target: pulumi.Input<RepositoryTarget>): object {
  if (!isDeferredInput(target)) return targetSettings(target);
  const whole = knownTarget(target);
  const open = pulumi.unsecret(whole);
  const settings = open.apply((known): object => (known === null ? NO_TARGET : targetSettings(known)));
  const isSecret = pulumi
    .all([open, pulumi.isSecret(whole)])
    .apply(([known, secret]) => secret && known !== null && known.secretLocation !== false);
  return pulumi
    .all([settings, isSecret])
    .apply(([plain, hide]) => (hide ? pulumi.secret(plain) : pulumi.output(plain)));
}

/** The target, which also says whether anything of its location is secret. */
export function shareableTarget(target: RepositoryTarget): RepositoryTarget {
  const { path, sftp = {} } = target;
  const { credentials: _credentials, ...store }: { readonly credentials?: object } = storeOf(target) ?? {};
  const { privateKey: _key, privateKeyPassphrase: _passphrase, ...server } = sftp as Partial<SftpLocation>;
  const location = { path, store, server };
  const outputs = [...splitKnown(location).deferred.values()];
  if (outputs.length === 0) return { ...target, secretLocation: false };
  const isSecret = Promise.all(outputs.map((output) => pulumi.isSecret(output))).then((all) => all.includes(true));
  return { ...target, secretLocation: pulumi.output(isSecret) };
}

/** {@link openTarget} of a known one. */
export function targetSettings(target: RepositoryTarget): object {
  const { cipher, secretLocation: _secret, ...others } = target;
  const base = Object.entries(others).filter(([field]) => !REPOSITORY_KINDS.some((kind) => kind === field));
  return {
    ...Object.fromEntries(base),
    encrypted: cipher !== undefined,
    ...typeOf({ kind: kindOf(target) }).open(target),
  };
}

/** @throws InputPropertyError with a passphrase and the wish for a new one */
export function isEncrypted(component: string, { cipher, encrypt }: EncryptionArgs): boolean {
  if (cipher !== undefined && encrypt === true) {
    const reason = `${component}: cipher is a passphrase and encrypt makes another one; leave one of them out`;
    throw new pulumi.InputPropertyError({ propertyPath: "encrypt", reason });
  }
  return cipher !== undefined || encrypt === true;
}

/**
 * The given passphrase, or with `encrypt` a new one as a child of the repository.
 * @param dependsOn the bucket, if it is created here: where it cannot be, no passphrase is left that blocks the way
 * back
 */
export function cipherOf(
  name: string,
  { cipher, encrypt }: EncryptionArgs,
  parent: pulumi.Resource,
  protect: boolean | undefined,
  dependsOn?: pulumi.ResourceOptions["dependsOn"],
): { cipher?: CipherRef; passphrase?: pulumi.Output<string> } {
  if (encrypt !== true) return given({ cipher });
  const made = new CipherPassphrase(
    childName(name, "cipher"),
    {},
    { parent, protect: protect ?? true, ...given({ dependsOn }) },
  );
  return { cipher: made.ref, passphrase: made.passphrase };
}

/** The resources that a value comes from, for `dependsOn`. */
export function resourcesOf(value: pulumi.Output<unknown>): pulumi.Output<pulumi.Resource[]> {
  return value.apply(() => []);
}

/** The `cipher` of a target, secret; nothing for an unencrypted one. */
export function secretCipher(cipher: CipherRef | undefined): { cipher?: CipherRef } {
  return cipher === undefined ? {} : { cipher: { passphrase: secretText(cipher.passphrase) } };
}

/** The keys, secret whatever they were given as. */
export function secretCredentials({ accessKeyId, secretAccessKey, sessionToken }: S3Credentials): S3Credentials {
  return {
    accessKeyId: pulumi.secret(accessKeyId),
    secretAccessKey: pulumi.secret(secretAccessKey),
    ...(sessionToken === undefined ? {} : { sessionToken: pulumi.secret(sessionToken) }),
  };
}

/** The same repository with a read-only key of its store. */
export function readerTargetOf(
  target: RepositoryTarget,
  credentials: AzureCredentials | GcsCredentials | S3Credentials,
): RepositoryTarget {
  const kind = storeKindOf(target);
  if (kind === null) return { ...target, readOnly: true };
  const { existingSecret: _secret, ...location }: { readonly existingSecret?: object } = target[kind] ?? {};
  return { ...target, [kind]: { ...location, credentials }, readOnly: true };
}
