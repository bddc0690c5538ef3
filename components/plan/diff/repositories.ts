/** Changes in the repositories of one database: which exist, where they are, their retention and protection. Pure. */
import { findEngine } from "../engines/engines";
import { backupsPerDay } from "../schedule/schedule";
import type { KeepNode, RepositoryNode, Topology } from "../topology/topology";
import { type Collector, effectOf, isHidden, listText, type Value, valueText, section } from "./change";
import { archiveWindowDays } from "../schedule/archiveWindow";
import { diffOptions } from "./passedOptions";
import { isSameRepository } from "./sameRepositories";

const LOCK_MODES = ["", "governance", "compliance"];

/**
 * Matched by name.
 * @param oldNames of repositories that have another key now: new name to old one
 */
export function diffRepositories(
  to: Collector,
  before: Topology,
  after: Topology,
  oldNames: ReadonlyMap<string, string>,
): void {
  const olds = byName(before);
  const news = byName(after);
  for (const [name, old] of olds) {
    const now = news.get(name);
    if (now !== undefined) {
      const text = `${locationText(now)} is the same repository under another key${movedText(name, before, after)}`;
      to.plain(`repositories.${name}.key`, oldNames.get(name) ?? name, name, () => text);
      diffRepository(to, `repositories.${name}`, [old, before], [now, after]);
    } else
      to.add(
        `repositories.${name}`,
        locationText(old),
        "removed",
        "weakened",
        `${name} (${locationText(old)}) no longer gets anything`,
      );
  }
  for (const [name, now] of news) {
    if (!olds.has(name))
      to.add(`repositories.${name}`, null, locationText(now), "strengthened", `${name} (${locationText(now)}) is new`);
  }
}

/** Guaranteed recovery window in days; null if unknown, infinite without expiry. */
export function windowDays(repository: RepositoryNode, topology: Topology): number | null {
  const { keepDays, keepFullCount } = repository;
  if (isHidden(keepDays) || isHidden(keepFullCount)) return null;
  const archived = archivedDays(repository, topology);
  const kept = keptDays(repository, topology);
  return archived === null || kept === null ? null : Math.min(archived, kept);
}

/** Infinite while WAL is kept as long as its backups. */
function archivedDays(repository: RepositoryNode, { schedules }: Topology): number | null {
  const [backups, type] = ["retention-archive", "retention-archive-type"].map((option) => optionOf(repository, option));
  if (isHidden(backups) || isHidden(type)) return null;
  return backups === undefined ? Number.POSITIVE_INFINITY : archiveWindowDays(repository, backups, type, schedules);
}

function optionOf({ options }: RepositoryNode, name: string): string | undefined {
  // A topology from a file may hide the list.
  const list: unknown = options;
  return Array.isArray(list) ? options?.find((option) => option.name === name)?.value : undefined;
}

function keptDays({ keepDays, keepFullCount, key }: RepositoryNode, topology: Topology): number | null {
  if (keepDays !== undefined) return keepDays;
  if (keepFullCount === undefined) return Number.POSITIVE_INFINITY;
  const rate = backupsPerDay(topology.schedules, key, ["full"]);
  // Right after a full backup the oldest one expires, so the window spans one interval less than there are fulls.
  return rate > 0 ? (keepFullCount - 1) / rate : null;
}

/** `keeps 14 days`, `keeps 4 full backups; 7 days and 12 months by calendar`, `keeps everything`. */
export function retentionText(repository: RepositoryNode): string {
  const { keep } = repository;
  const calendar = keep === undefined ? "" : calendarText(keep);
  return calendar === "" ? keptText(repository) : `${keptText(repository)}; ${calendar} by calendar`;
}

const KEEP_NOUNS = { daily: "day", weekly: "week", monthly: "month", yearly: "year" } as const;

function calendarText(keep: KeepNode): string {
  // A topology from a file may hide it.
  if (isHidden(keep)) return "some";
  const parts = (["daily", "weekly", "monthly", "yearly"] as const).flatMap((each) => {
    const amount = keep[each];
    return amount === undefined
      ? []
      : [isHidden(amount) ? `${each} ${valueText(amount)}` : count(amount, KEEP_NOUNS[each])];
  });
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}

function keptText({ keepDays, keepFullCount }: RepositoryNode): string {
  if (keepDays !== undefined)
    return isHidden(keepDays) ? `keeps days: ${valueText(keepDays)}` : `keeps ${count(keepDays, "day")}`;
  if (keepFullCount === undefined) return "keeps everything";
  return isHidden(keepFullCount)
    ? `keeps full backups: ${valueText(keepFullCount)}`
    : `keeps ${count(keepFullCount, "full backup")}`;
}

/** `1 day`, `14 days`. */
export function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? "" : "s"}`;
}

type Side = readonly [repository: RepositoryNode, topology: Topology];

function diffRepository(to: Collector, path: string, [old, before]: Side, [now, after]: Side): void {
  const { name } = now;
  if (!isHidden(old.location) && !isHidden(now.location) && !isSameRepository(old, now)) {
    // The same bucket name and path at two providers, or on two servers, are two repositories.
    const shown =
      old.location !== now.location
        ? ({ location }: RepositoryNode): string => location
        : old.failureDomain === now.failureDomain
          ? endpointText
          : locationText;
    const text = `${name} starts from scratch at ${shown(now)}: nothing maintains what ${shown(old)} holds any more`;
    to.add(`${path}.location`, shown(old), shown(now), "weakened", `${text}${movedText(name, before, after)}`);
  } else {
    to.plain(`${path}.location`, old.location, now.location, () => "");
    diffFormat(to, path, [old, before], [now, after]);
  }
  const repository = section(to, path, old, now);
  repository.plain("provider", (value) => `${name} is kept by ${valueText(value)}`);
  if (old.provider === now.provider)
    repository.plain("failureDomain", (value) => `${name} is lost together with ${valueText(value)}`);
  repository.rank("offSite", yes, (value) => `${name} is ${value === true ? "" : "not known to be "}off-site`);
  repository.rank("encrypted", yes, (value) => `${name} is ${value === true ? "" : "no longer "}encrypted`);
  repository.rank("requireMount", yes, (value) =>
    value === true
      ? `${name} is written only while its file system is mounted`
      : `${name} is written even while its file system is not mounted`,
  );
  const compress = ({ compressLevel, compressType }: RepositoryNode): string => `${compressType} ${compressLevel}`;
  to.plain(
    `${path}.compress`,
    compress(old),
    compress(now),
    (value) => `${name} is compressed with ${valueText(value)}`,
  );
  diffRetention(to, path, [old, before], [now, after]);
  diffCalendar(to, `${path}.keep`, old, now);
  const diffs = (value: Value): number => (value === null ? Number.POSITIVE_INFINITY : Number(value));
  repository.rank("keepDiffCount", diffs, (value) =>
    value === null
      ? `${name} keeps every differential backup of its full ones`
      : `${name} keeps ${count(diffs(value), "differential backup")}`,
  );
  diffOptions(to, `${path}.options`, old.options, now.options);
  diffBucket(to, path, old, now);
}

/** The Secret of a cluster's repository is named after its key and changes before the old engine's last pod is gone. */
function movedText(name: string, before: Topology, after: Topology): string {
  const [[old], [now]] = [before.databases, after.databases];
  if (old?.kind !== "cnpg" || now?.kind !== "cnpg" || old.engine === now.engine) return "";
  return `; pods of engine ${old.engine} read the keys of ${name} until they are replaced: give the new repository another number`;
}

/** The same location in another program's layout: nothing reads or removes the old files. */
function diffFormat(to: Collector, path: string, [old, before]: Side, [now, after]: Side): void {
  const [was = null, is = null] = [before, after].map(
    ({ databases: [database] }) => findEngine(database?.engine ?? "")?.format,
  );
  if (was === null || is === null || was === is || !isSameRepository(old, now)) return;
  const text = `${now.name} starts from scratch at the same location, in the format of ${is}: nothing maintains what ${was} wrote there any more, and it takes up space`;
  to.add(`${path}.format`, was, is, "weakened", text);
}

/** Fewer periods of a class, or none, is weaker. */
function diffCalendar(to: Collector, path: string, old: RepositoryNode, now: RepositoryNode): void {
  if (isHidden(old.keep) || isHidden(now.keep)) return to.plain(path, listText(old.keep), listText(now.keep), () => "");
  for (const each of ["daily", "weekly", "monthly", "yearly"] as const) {
    const [was, is] = [old, now].map(({ keep }) => known(keep?.[each]));
    const text = (value: Value): string =>
      value === null
        ? `${now.name} keeps no backup of past ${KEEP_NOUNS[each]}s`
        : `${now.name} keeps a backup of each of ${count(Number(value), KEEP_NOUNS[each])}`;
    to.rank(`${path}.${each}`, was ?? null, is ?? null, (value) => value ?? 0, text);
  }
}

function diffRetention(to: Collector, path: string, [old, before]: Side, [now, after]: Side): void {
  const sizes = [old, now].map(({ keepDays, keepFullCount }) => [known(keepDays), known(keepFullCount)] as const);
  const [[oldDays, oldFulls] = [null, null], [newDays, newFulls] = [null, null]] = sizes;
  const windows = [windowDays(old, before), windowDays(now, after)] as const;
  const changed = oldDays !== newDays || oldFulls !== newFulls;
  const isSwitch = (oldDays === null) !== (newDays === null) || (oldFulls === null) !== (newFulls === null);
  if (changed && !isSwitch) {
    const text = (): string =>
      `${now.name} ${retentionText(now)}, ${retentionText(old).replace("keeps", "kept")} before`;
    to.rank(`${path}.keepDays`, oldDays, newDays, Number, text);
    to.rank(`${path}.keepFullCount`, oldFulls, newFulls, Number, text);
    if (Math.sign(compareWindows(windows)) === Math.sign(Number(newDays ?? newFulls) - Number(oldDays ?? oldFulls)))
      return;
  }
  // The option's own change says so.
  if (!isSwitch && optionOf(old, "retention-archive") !== optionOf(now, "retention-archive")) return;
  const sides: readonly [path: string, before: string, after: string] = isSwitch
    ? [`${path}.retention`, retentionText(old), retentionText(now)]
    : [`${path}.window`, windowText(windows[0]), windowText(windows[1])];
  if (isSwitch && (windows.includes(null) || [oldDays, oldFulls, newDays, newFulls].some(isHidden)))
    return to.uncertain(...sides, `${now.name} ${retentionText(now)}: the length of its window is unknown`);
  const step = compareWindows(windows);
  if (step === 0 && !isSwitch) return;
  const text = `${now.name} reaches back at least ${windowText(windows[1])}, was ${windowText(windows[0])}`;
  to.add(...sides, effectOf(step), text);
}

/** Above zero if the second one is longer; zero if either is unknown. */
function compareWindows([before, after]: readonly [number | null, number | null]): number {
  if (before === null || after === null || before === after) return 0;
  const difference = after - before;
  return Math.abs(difference) < 0.01 ? 0 : difference;
}

function windowText(days: number | null): string {
  if (days === null) return "an unknown time";
  return Number.isFinite(days) ? count(Number(days.toFixed(1)), "day") : "forever";
}

/** Protection by the bucket or SFTP server. What is no longer declared no longer counts as protection. */
function diffBucket(
  to: Collector,
  path: string,
  { bucket: old = {} }: RepositoryNode,
  { bucket: now = {}, kind, name }: RepositoryNode,
): void {
  const bucket = section(to, `${path}.bucket`, old, now);
  const amount = (value: Value): number => Number(value ?? 0);
  bucket.rank("versioning", yes, (value) =>
    value === true ? `the bucket of ${name} keeps versions` : `the bucket of ${name} is not known to keep versions`,
  );
  const stored = kind === "sftp" ? "files" : "objects";
  bucket.rank("immutableDays", amount, (value) =>
    value === null
      ? `${stored} in ${name} are no longer locked`
      : `${stored} in ${name} are locked for ${count(amount(value), "day")}`,
  );
  const lock = (value: Value): number => LOCK_MODES.indexOf(String(value ?? "").toLowerCase());
  bucket.rank("lockMode", lock, (value) => `the lock of ${name} is ${valueText(value)}`);
  bucket.rank("undeleteDays", amount, (value) =>
    value === null
      ? `deleted objects in ${name} are gone`
      : `deleted objects in ${name} can be restored for ${count(amount(value), "day")}`,
  );
  const age = (value: Value): number => (value === null ? Number.POSITIVE_INFINITY : Number(value));
  bucket.rank("expireLiveDays", age, (value) =>
    value === null
      ? `no rule of the bucket of ${name} removes live files`
      : `rules of the bucket of ${name} remove live files after ${count(age(value), "day")}`,
  );
  bucket.plain("storageClass", (value) => `the storage class of ${name} is ${valueText(value)}`);
}

/** `s3://bucket/path at Backblaze B2`. */
function locationText({ failureDomain, location }: RepositoryNode): string {
  return isHidden(failureDomain) || isHidden(location) || location.startsWith("/")
    ? valueText(location)
    : `${location} at ${failureDomain}`;
}

/** `s3://bucket/path at ACCOUNT.r2.cloudflarestorage.com`. */
function endpointText({ endpoint, location }: RepositoryNode): string {
  return `${location} at ${valueText(endpoint)}`;
}

function known<T extends Value>(value: T | undefined): T | null {
  return value ?? null;
}

function yes(value: Value): number {
  return value === true ? 1 : 0;
}

function byName({ repositories }: Topology): Map<string, RepositoryNode> {
  return new Map(repositories.map((repository) => [repository.name, repository]));
}
