/** Common parts of the repository components: deferred paths, arguments without secrets, read-only keys. */
import * as pulumi from "@pulumi/pulumi";
import { isDeferredInput, secretText, splitKnown } from "../internal/inputs";
import { CipherPassphrase } from "../credentials/cipherPassphrase";
import { checkedArguments, logInTwoSteps } from "../internal/validate";
import { childName } from "../internal/children";
import type { Finding } from "../plan/findings/findings";
import type { StorageCost } from "../plan/storage/cost";
import { given } from "../../runtime/base/given";
import { kindOf, REPOSITORY_KINDS, storeKindOf, storeOf, typeOf } from "../plan/repositories/repositoryTypes";
import { NO_TARGET } from "../plan/repositories/unknownType";
import type { EncryptionArgs } from "./repositoryArgs";
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
  return { ...checkedArguments(component, name, args, given({ check })), ...given({ cipher: args.cipher }) };
}

/** A plan of a bucket, of which some values come with `undeleteDays`. */
export interface PlannedBucket<Plan, Fields extends keyof Plan> {
  readonly plan: Omit<Plan, Fields> & { readonly [Key in Fields]: pulumi.Input<Plan[Key]> };
  /** Logs warnings that are not among those of the known values. */
  warn(resource: pulumi.Resource): void;
}

/**
 * @param known arguments, with markers for deferred values
 * @param fields that follow from `undeleteDays`
 */
export function planBucket<Settings extends object, Plan extends object, Fields extends keyof Plan>(
  known: Settings,
  undeleteDays: pulumi.Input<number> | undefined,
  fields: readonly Fields[],
  resolve: (settings: Settings) => Plan,
  check: (settings: Settings) => readonly Finding[],
): PlannedBucket<Plan, Fields> {
  const plan = resolve(known);
  const findings = check(known);
  if (!isDeferredInput(undeleteDays)) return { plan, warn: (resource) => logInTwoSteps(findings, null, resource) };
  const final = pulumi.output(undeleteDays).apply((days) => ({ ...known, undeleteDays: days }));
  const deferred = fields.map((field) => [field, final.apply((settings) => resolve(settings)[field])]);
  return {
    plan: { ...plan, ...(Object.fromEntries(deferred) as { [Key in Fields]: pulumi.Output<Plan[Key]> }) },
    warn: (resource) => logInTwoSteps(findings, final.apply(check), resource),
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

/** A target that comes later as a whole, for instance out of a StackReference. */
export function isDeferredTarget(
  target: pulumi.Input<RepositoryTarget>,
): target is Exclude<pulumi.Input<RepositoryTarget>, RepositoryTarget> {
  return isDeferredInput(target);
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
  if (!isDeferredTarget(target)) return targetSettings(target);
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
