/** Ranges of numbers, which their declarations state, and the rules that have a code of their own for them. Pure. */
import { isWithin, type NumberRange, rangeText } from "../../../runtime/base/declaredTypes";
import { type Finding, finding } from "../findings/findings";
import type { RuleCode } from "../findings/ruleTable";
import { isUnknown } from "../model/unknown";
import { ARGUMENT_RANGES } from "./argumentTypes";

/** `HostBaseArgs.processMax` */
export type RangedArgument = keyof typeof ARGUMENT_RANGES;

/** Arguments whose rules see them with their defaults, or when they arrive: the rule's code, and the way out. */
const RULED: Readonly<Partial<Record<RangedArgument, readonly [code: RuleCode, hint?: string]>>> = {
  "BucketContentArgs.expectedStoredGiB": ["PB014"],
  "BucketProtectionArgs.immutableDays": ["PB014"],
  "BucketProtectionArgs.undeleteDays": ["PB014"],
  "ClusterBackupArgs.archiveTimeoutSeconds": ["PB037", "set whole seconds, for instance 60"],
  "ClusterBackupArgs.firstBackupTimeoutMinutes": ["PB014"],
  "ClusterBackupArgs.processMax": ["PB014"],
  "ClusterLikeArgs.postgresVersion": ["PB111"],
  "CnpgBackupArgs.instances": ["PB096"],
  "CnpgClusterArgs.instances": ["PB096"],
  "CnpgPluginArgs.replicas": ["PB110", "set 2, so that one is available while the other restarts"],
  "CompressArgs.level": ["PB015"],
  "DrillArgs.maxGiB": ["PB037"],
  "DrillArgs.maxMinutes": ["PB037"],
  "DrillChecksArgs.backupAgeHours": ["PB037"],
  "DumpsArgs.keepCount": ["PB005", "set at least 1, or leave it out"],
  "DumpsArgs.keepDays": ["PB005", "set at least 1, or leave it out"],
  "HostBaseArgs.processMax": ["PB014"],
  "HostPostgresArgs.version": ["PB014"],
  "HostRepositoryArgs.keepDays": ["PB005", "set at least 1, or leave it out to keep everything"],
  "HostRepositoryArgs.keepDiffCount": ["PB005", "set at least 1, or leave it out to keep everything"],
  "HostRepositoryArgs.keepFullCount": ["PB005", "set at least 1, or leave it out to keep everything"],
  "KeepArgs.daily": ["PB005", "set at least 1, or leave it out"],
  "KeepArgs.monthly": ["PB005", "set at least 1, or leave it out"],
  "KeepArgs.weekly": ["PB005", "set at least 1, or leave it out"],
  "KeepArgs.yearly": ["PB005", "set at least 1, or leave it out"],
  "ObjectivesArgs.maxRepositoryGB": ["PB037"],
  "ObjectivesArgs.pitrDays": ["PB037"],
  "ObjectivesArgs.pitrRtoMinutes": ["PB037"],
  "ObjectivesArgs.rpoSeconds": ["PB037"],
  "ObjectivesArgs.rtoMinutes": ["PB037"],
  "PostgresHostArgs.slotKeepGiB": ["PB014"],
  "PostgresHostArgs.archiveTimeoutSeconds": ["PB037", "set whole seconds, for instance 60"],
  "PostgresHostArgs.port": ["PB014"],
  "RepositoryScheduleArgs.deadlineSeconds": ["PB023"],
  "RepositoryScheduleArgs.jitterSeconds": ["PB023"],
  "S3Location.port": ["PB014"],
  "SftpLocation.port": ["PB014"],
  "SftpRepositoryArgs.port": ["PB014"],
  "SnapshotArgs.keepCount": ["PB005", "set at least 1, or leave it out"],
  "SnapshotArgs.keepDays": ["PB005", "set at least 1, or leave it out"],
  "StreamingArgs.degradeAfterSeconds": ["PB014"],
  "StreamingArgs.groupMilliseconds": ["PB014"],
  "StreamingArgs.intervalSeconds": ["PB014"],
  "VerifyTaskArgs.samplePercent": ["PB014"],
};

/** Ranges of the arguments that the check of types judges. */
export const UNRULED_RANGES: Readonly<Record<string, NumberRange>> = Object.fromEntries(
  Object.entries(ARGUMENT_RANGES).filter(([argument]) => !(argument in RULED)),
);

/** True also for a value that is not known yet. */
export function isInRange(argument: RangedArgument, value: unknown): boolean {
  return isUnknown(value) || (typeof value === "number" && isWithin(ARGUMENT_RANGES[argument], value));
}

/**
 * The finding of an argument's rule about a value outside its range; undefined is fine.
 * @param path of the argument in its component
 * @param fact what the value is, before the range
 */
export function checkRange(
  argument: RangedArgument,
  path: string,
  value: number | undefined,
  fact = "outside",
): Finding[] {
  if (value === undefined || isInRange(argument, value)) return [];
  const [code, hint = ""] = RULED[argument] ?? ["PB191" as const];
  return [finding(code, path, `${value} is ${fact} ${rangeText(ARGUMENT_RANGES[argument])}`, hint)];
}
