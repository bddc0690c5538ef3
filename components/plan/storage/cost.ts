/**
 * Estimates a repository's monthly cost from declared amounts, schedules and retention with a dated price table. Pure.
 * Accurate to about a third: compression, churn and the length of months vary. File systems and providers without a row
 * have no price: null, never zero.
 */
import type { ClusterDatabasePlan, HostPlan, Sizing } from "../model/plan";
import { KEEP_CLASSES, type KeepClass } from "../repositories/repositoryType";
import { factsOf, type RepositoryPlan } from "../repositories/repositoryTypes";
import { findPrice, type PriceRow, PRICES_AS_OF, storageCost } from "../../../runtime/storage/prices";
import { type BackupType, runningSchedules, type Schedule, textRunsPerDay } from "../schedule/schedule";
import { isUnknown } from "../model/unknown";

export interface CostEstimate {
  readonly currency: "USD";
  /** Day of the prices. */
  readonly asOf: string;
  /** At the end of a retention period, compressed and encrypted: backups, WAL, and old versions. */
  readonly storedGb: number;
  readonly perMonth: number;
  /** Download of one full backup and a day of WAL. */
  readonly perRestore: number;
}

const DAYS_PER_MONTH = 30;
const BYTES_RATIO = 1.073741824;
const SEGMENTS_PER_GIB = 64;
/** A duplicate check and a put for each segment. */
const CALLS_PER_SEGMENT = 2;
/** What metrics ask one repository for: the newest WAL, the info files, drills and dumps. */
const METRICS = { listings: 2, reads: 3 };
/** A sidecar lists, and asks what `status` asks, in every fifth minute only. */
const SIDECAR_METRICS = { listings: 1, reads: 6 / 5 };
const MINUTES_PER_DAY = 24 * 60;
const SECONDS_PER_DAY = 86_400;
/** Streaming looks twice in half a minute at what it has sent. */
const STREAM_LISTINGS_PER_DAY = 4 * MINUTES_PER_DAY;
/** Objects of a backup share bundles of about 20 MiB; larger ones are sent in parts of 16 MiB (clusters: 8). */
const WRITES_PER_GIB = 80;
/** Assumed retention without a limit: an estimate needs an end. */
const UNLIMITED_DAYS = 365;
const PERIOD_DAYS = { daily: 1, weekly: 7, monthly: 30.4, yearly: 365 } as const satisfies Record<KeepClass, number>;

/** Null without `sizing`, for directories, and for providers without a price. */
export function estimateRepository(
  repository: RepositoryPlan,
  plan: HostPlan | ClusterDatabasePlan,
): CostEstimate | null {
  const { sizing } = plan;
  const row = priceOf(repository);
  if (sizing === undefined || row === null || !isComputable(repository, plan, sizing)) return null;
  const schedules = runningSchedules(plan.schedules).filter((schedule) => schedule.repoKeys.includes(repository.key));
  const amounts = amountsOf(repository, sizing, schedules);
  const calls = callsOf(plan, sizing);
  const storedGb = amounts.storedGib * BYTES_RATIO;
  const billedGb = storedGb + amounts.earlyDeletedGib(row.minimumDays) * BYTES_RATIO;
  const writes = Math.max(amounts.writesPerMonth + DAYS_PER_MONTH * calls.writes - row.freeWrites, 0);
  const reads = Math.max(DAYS_PER_MONTH * calls.reads - row.freeReads, 0);
  const restoreGb = amounts.restoreGib * BYTES_RATIO;
  const paidEgressGb = Math.max(restoreGb - row.freeEgressGb - row.freeEgressTimesStored * storedGb, 0);
  return {
    currency: "USD",
    asOf: PRICES_AS_OF,
    storedGb: round(storedGb, 1),
    perMonth: round(
      storageCost(row, billedGb) + (writes * row.writesPerMillion + reads * row.readsPerMillion) / 1e6,
      2,
    ),
    perRestore: round(paidEgressGb * row.egressPerGb + restoreGb * row.retrievalPerGb, 2),
  };
}

/** Storage only; calls and restores are extra, see {@link estimateRepository}. */
export interface StorageCost {
  readonly perMonth: number;
  /** Day of the price. */
  readonly asOf: string;
}

/**
 * Null without an amount, and for providers and classes without a price.
 * @param storedGib average amount, old versions included
 */
export function estimateStorage(
  provider: string,
  storageClass: string | undefined,
  storedGib: number | undefined,
): StorageCost | null {
  const row = findPrice(provider, storageClass);
  if (row === null || storedGib === undefined) return null;
  return { perMonth: round(storageCost(row, storedGib * BYTES_RATIO), 2), asOf: PRICES_AS_OF };
}

interface Amounts {
  readonly storedGib: number;
  readonly writesPerMonth: number;
  readonly restoreGib: number;
  /** Removed data that are still billed, if removal within `days` costs the rest of them. */
  readonly earlyDeletedGib: (days: number) => number;
}

/** Stored sizes of backups. */
export interface BackupSizes {
  readonly fullGib: number;
  readonly fullsPerDay: number;
  readonly fullEveryDays: number;
  /** All types, on average. */
  readonly perDayGib: number;
}

/** @param schedules those of one repository that make backups */
export function backupSizes(sizing: Sizing, schedules: readonly Schedule[]): BackupSizes {
  const fullGib = sizing.databaseGiB * sizing.compressedTo;
  const changed = sizing.changedGiBPerDay * sizing.compressedTo;
  const perDay = (type: BackupType): number =>
    schedules
      .filter((schedule) => schedule.type === type)
      .reduce((sum, schedule) => sum + textRunsPerDay(schedule.cron), 0);
  const [fullsPerDay, diffs, incrs] = [perDay("full"), perDay("diff"), perDay("incr")];
  const fullEveryDays = fullsPerDay > 0 ? 1 / fullsPerDay : UNLIMITED_DAYS;
  const diffGib = Math.min((changed * fullEveryDays) / 2, fullGib);
  const incrGib = incrs > 0 ? Math.min(changed / incrs, fullGib) : 0;
  const perDayGib = fullGib * fullsPerDay + diffGib * diffs + incrGib * incrs;
  return { fullGib, fullsPerDay, fullEveryDays, perDayGib };
}

function amountsOf(repository: RepositoryPlan, sizing: Sizing, schedules: readonly Schedule[]): Amounts {
  const sizes = backupSizes(sizing, schedules);
  const { fullEveryDays, fullGib: full, fullsPerDay: fulls } = sizes;
  const wal = sizing.walGiBPerDay * sizing.compressedTo;
  // A set expires only when the next one covers the window, so one more interval is kept.
  const windowDays =
    repository.keepDays !== undefined
      ? repository.keepDays + fullEveryDays
      : repository.keepFullCount !== undefined
        ? (repository.keepFullCount + 1) * fullEveryDays
        : UNLIMITED_DAYS;
  const fullCount = fulls > 0 ? Math.max(windowDays * fulls, 1) : 1;
  const perDayGib = sizes.perDayGib + wal;
  const byCalendar = keptByCalendar(repository, windowDays, sizes);
  const kept = full * fullCount + (perDayGib - full * fulls) * windowDays + byCalendar;
  const { immutableDays, undeleteDays } = factsOf(repository) ?? {};
  const afterwardsDays = Math.max(undeleteDays ?? 0, immutableDays ?? 0);
  return {
    storedGib: kept + perDayGib * afterwardsDays,
    writesPerMonth: DAYS_PER_MONTH * (perDayGib - wal) * WRITES_PER_GIB,
    restoreGib: full + wal,
    earlyDeletedGib: (days) => perDayGib * Math.max(days - windowDays - afterwardsDays, 0),
  };
}

/** Calls in a day for WAL, and for looking. Listings cost as much as writes. */
function callsOf(plan: HostPlan | ClusterDatabasePlan, { walGiBPerDay }: Sizing): Record<"writes" | "reads", number> {
  const { archiveTimeoutSeconds, streamIntervalSeconds } = plan;
  const each = (seconds = 0): number => (walGiBPerDay > 0 && seconds > 0 ? SECONDS_PER_DAY / seconds : 0);
  const segments = Math.max(walGiBPerDay * SEGMENTS_PER_GIB, each(archiveTimeoutSeconds));
  const pieces = each(streamIntervalSeconds);
  const looks = streamIntervalSeconds === undefined ? 0 : STREAM_LISTINGS_PER_DAY;
  const { listings, reads } = plan.kind === "host" ? METRICS : SIDECAR_METRICS;
  const turns = metricsPerDay(plan);
  return { writes: segments * CALLS_PER_SEGMENT + pieces + looks + turns * listings, reads: turns * reads };
}

/** How often a day metrics are gathered. */
function metricsPerDay(plan: HostPlan | ClusterDatabasePlan): number {
  if (plan.kind === "cnpg") return plan.engine === "runtime" ? MINUTES_PER_DAY * plan.instances : 0;
  if (plan.metricsListen !== undefined) return MINUTES_PER_DAY;
  return plan.maintenance
    .filter(({ name }) => name === "metrics")
    .reduce((sum, { cron }) => sum + textRunsPerDay(cron), 0);
}

/**
 * Stored size of what only the calendar keeps. A longer class begins where a shorter one ends: until then its backups
 * are among those of the shorter one. A class shorter than the interval of full backups keeps whole chains.
 */
function keptByCalendar({ keep }: RepositoryPlan, windowDays: number, sizes: BackupSizes): number {
  let [coveredDays, sumGib] = [windowDays, 0];
  for (const each of KEEP_CLASSES) {
    const days = PERIOD_DAYS[each];
    const moreDays = Math.max(0, (keep?.[each] ?? 0) * days - coveredDays);
    sumGib += days < sizes.fullEveryDays ? moreDays * sizes.perDayGib : (moreDays / days) * sizes.fullGib;
    coveredDays += moreDays;
  }
  return sumGib;
}

export function priceOf(repository: RepositoryPlan): PriceRow | null {
  return findPrice(repository.site.provider, factsOf(repository)?.storageClass);
}

function isComputable(
  repository: RepositoryPlan,
  plan: HostPlan | ClusterDatabasePlan,
  { databaseGiB, walGiBPerDay, changedGiBPerDay, compressedTo }: Sizing,
): boolean {
  return [
    plan.archiveTimeoutSeconds ?? 0,
    plan.streamIntervalSeconds ?? 0,
    plan.kind === "cnpg" ? plan.instances : 0,
    databaseGiB,
    walGiBPerDay,
    changedGiBPerDay,
    compressedTo,
    repository.keepDays ?? 0,
    repository.keepFullCount ?? 0,
    ...KEEP_CLASSES.map((each) => repository.keep?.[each] ?? 0),
  ].every((value) => !isUnknown(value) && Number.isFinite(value));
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
