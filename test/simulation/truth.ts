/**
 * What must always be true of the repositories. Reads the buckets below all faults, and uses only the runtime's
 * parsers.
 *
 * A listed backup restores to the bytes that one server had at one time. Once listed, a backup stays complete as long
 * as retention keeps it, counted by the backups that were ever listed. A held full backup stays. Acknowledged WAL is
 * where the policy says, or is recorded as missing. No repository gets WAL from us that no server wrote. A listed
 * backup gets no file.
 *
 * What a thief takes after an answer does not make that answer untrue. Each answer after the theft must be true of the
 * files as they are then: an acknowledgement, a record that ends, a verdict of `verify`, a fetched segment.
 */
import { type BackupInfo, parseBackupInfo } from "../../runtime/format/repository/backupInfo";
import { fullLabelOf } from "../../runtime/format/repository/label";
import { type Manifest, type ManifestFile, parseManifest } from "../../runtime/format/repository/manifest";
import {
  backupInfoPath,
  bundlePath,
  copyOf,
  dataFilePath,
  manifestPath,
} from "../../runtime/format/repository/repoPath";
import { STANZA } from "../runtime/repository/support";
import { type Bucket, sha1Of, type StoredFile } from "./bucket";
import { DumpTruth } from "./dumpTruth";

/** Manifest name → SHA-1 of the relations that a server had at one time. */
export interface State {
  readonly server: string;
  readonly sha1s: ReadonlyMap<string, string>;
}

interface Read<T> {
  readonly file: StoredFile;
  readonly value: T;
}

/** A backup that was complete. Valid until one of its files is replaced. */
interface Proof {
  readonly manifest: StoredFile;
  readonly files: readonly (readonly [path: string, file: StoredFile])[];
}

const STORED_WAL = /^archive\/.*\/([0-9A-F]{24})-[0-9a-f]{40}/;
const DATA_FILE = /^backup\/[^/]+\/([^/]+)\/(?:pg_data|bundle)\//;
const RELATION = /^pg_data\/base\//;
const contents = new WeakMap<StoredFile, string>();
/** Names of WAL segments by the path of a file in an archive; null for other files. */
const walNames = new Map<string, string | null>();

/** What a file says, by its text: runs that differ in one fault write the same ones again. */
class Parsed<T> {
  static readonly #TEXTS_MAX = 5000;
  readonly #known = new Map<string, T | null>();
  readonly #parse: (text: string, name: string) => T;

  constructor(parse: (text: string, name: string) => T) {
    this.#parse = parse;
  }

  /** Null for what cannot be read. `name` is for messages only. */
  of({ bytes }: StoredFile, name: string): T | null {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (this.#known.size >= Parsed.#TEXTS_MAX) this.#known.clear();
    const value = nullOnError(() => this.#parse(text, name));
    this.#known.set(text, value);
    return value;
  }
}

const backupInfos = new Parsed(parseBackupInfo);
const allManifests = new Parsed(parseManifest);

export class Truth {
  readonly #buckets: readonly Bucket[];
  readonly #moments: readonly State[];
  readonly #hasVersions: boolean;
  readonly #seenVersions = new Map<number, number>();
  readonly #infos = new Map<number, Read<BackupInfo>>();
  readonly #manifests = new Map<string, Read<Manifest>>();
  readonly #proofs = new Map<string, Proof>();
  /** Labels that were ever listed and complete, by repository. */
  readonly #published = new Map<number, Set<string>>();
  /** Number of full backups that retention keeps, by repository. Without an entry it keeps all. */
  readonly retention = new Map<number, number>();
  /** Name → SHA-1 of the WAL that servers have written. Two primaries write different bytes. */
  readonly #written = new Map<string, Set<string>>();
  /** Name → SHA-1 of WAL that was acknowledged to PostgreSQL. */
  readonly acknowledged = new Map<string, string>();
  /** `<repository>:<name>` → SHA-1 of the segment that a server believes to be there. */
  readonly #believed = new Map<string, string>();
  /** `<repository>:<name>` of WAL, or the path of a file, that a thief has changed → the time. */
  readonly #harmed = new Map<string, number>();
  /** Time of this simulation. */
  nowMs: () => number = () => 0;
  /** Number of backup lists that landed late. */
  staleLists = 0;
  readonly #excusedLists = new Set<number>();
  readonly #staleLists = new Set<number>();
  /** `<repository>:<label>` of backups that ended with exit 0. */
  readonly #done = new Set<string>();
  /** `<repository>:<label>` of backups that lost files while they were made. */
  readonly #lost = new Set<string>();
  /** `<repository>:<label>` of full backups that somebody holds. */
  readonly #held = new Set<string>();
  isMissing: (repoIndex: number, walName: string) => boolean = () => false;
  readonly dumps: DumpTruth;

  /** With `hasVersions`, no backup list is excused for landing late. */
  constructor(buckets: readonly Bucket[], moments: readonly State[], hasVersions: boolean, keepDumps?: number) {
    this.#buckets = buckets;
    this.dumps = new DumpTruth(keepDumps);
    this.#hasVersions = hasVersions;
    this.#moments = moments;
  }

  /** A server has finished a segment. */
  write(name: string, sha1: string): void {
    this.#written.set(name, (this.#written.get(name) ?? new Set()).add(sha1));
  }

  /**
   * A file was acknowledged to PostgreSQL, which had asked at `sinceMs`. Returns a violation or null.
   * @param isMissing true for repositories that the same host has recorded as lacking it
   * @param isSure true for repositories that told the process no lie: their listings show another server's segment
   */
  acknowledge(
    name: string,
    sha1: string,
    sinceMs: number,
    isMissing: (repoIndex: number) => boolean,
    isSure: (repoIndex: number) => boolean,
  ): string | null {
    this.acknowledged.set(name, sha1);
    const holding = this.#buckets.filter(({ key }) => !isMissing(key));
    for (const { key } of holding) {
      this.answer(key, name, sinceMs);
      if (!isSure(key)) continue;
      const believed = this.#believed.get(`${key}:${name}`) ?? sha1;
      if (believed !== sha1) return `repo${key}: two servers were told that it has their ${name}`;
      this.#believed.set(`${key}:${name}`, sha1);
    }
    // A process that slept may have recorded a repository that has got it meanwhile: `heal` ends such a record.
    const isHeld = this.#buckets.some((bucket) => holds(bucket, name, sha1));
    const isExcused = holding.some((bucket) => this.#isHarmed(bucket, name) || name < this.#keptFrom(bucket));
    return isHeld || isExcused ? null : `acknowledged ${name} is nowhere`;
  }

  /** A process that looked after `sinceMs` says that a repository has this segment. What was stolen before counts. */
  answer(repoIndex: number, name: string, sinceMs: number): void {
    this.#seenVersions.clear();
    const id = `${repoIndex}:${name}`;
    if ((this.#harmed.get(id) ?? sinceMs) < sinceMs) this.#harmed.delete(id);
  }

  hold(repoIndex: number, label: string): void {
    this.#held.add(`${repoIndex}:${label}`);
  }

  /** A thief changed a file. Earlier promises do not cover that. */
  harm({ key }: Bucket, path: string): void {
    this.#harmed.set(`${key}:${STORED_WAL.exec(path)?.[1] ?? path}`, this.nowMs());
  }

  /**
   * A repository was lost with its content, or got older one. No promise covers that, and none the backups that are
   * being made.
   */
  forget(repoIndex: number, labels: readonly string[]): void {
    this.#published.delete(repoIndex);
    for (const label of labels) this.#lost.add(`${repoIndex}:${label}`);
    for (const name of this.acknowledged.keys()) this.#harmed.set(`${repoIndex}:${name}`, this.nowMs());
  }

  /**
   * Why a host that looked at every repository has forgotten that one lacks this segment, or null. A record of another
   * repository is still one: where listings hide the file, nobody can know which one lacks it.
   */
  findForgotten(name: string): string | null {
    if (this.#buckets.some(({ key }) => this.isMissing(key, name))) return null;
    const sha1 = this.acknowledged.get(name) ?? "";
    const lacking = this.#buckets.find((bucket) => !holds(bucket, name, sha1));
    return lacking === undefined ? null : `heal forgot that repo${lacking.key} lacks ${name}`;
  }

  #isHarmed({ key }: Bucket, nameOrPath: string): boolean {
    return this.#harmed.has(`${key}:${nameOrPath}`);
  }

  /** True when a repository has other bytes than these under the name of a segment. */
  hasOther(repoIndex: number, name: string, sha1: string): boolean {
    const bucket = this.#buckets.find(({ key }) => key === repoIndex);
    return bucket !== undefined && copiesOf(bucket, name).some((file) => sha1OfStored(file) !== sha1);
  }

  /** True when a repository has this segment, once, with the acknowledged bytes. */
  isIntact(repoIndex: number, name: string): boolean {
    const bucket = this.#buckets.find(({ key }) => key === repoIndex);
    const held = bucket === undefined ? [] : copiesOf(bucket, name);
    return held.length === 1 && held.every((file) => sha1OfStored(file) === this.acknowledged.get(name));
  }

  /**
   * Why "all is well" of a look that began at `sinceMs` is not true of a repository, or null. What was stolen during
   * the look does not count.
   */
  findUntrue(repoIndex: number, sinceMs: number): string | null {
    const bucket = this.#buckets.find(({ key }) => key === repoIndex);
    if (bucket === undefined) return null;
    for (const [id, atMs] of this.#harmed) {
      if (atMs >= sinceMs || !id.startsWith(`${repoIndex}:`)) continue;
      const name = id.slice(id.indexOf(":") + 1);
      const isWal = this.#written.has(name);
      const isNeeded = isWal && name >= this.#neededFrom(bucket);
      if (isNeeded && !this.isIntact(repoIndex, name) && !this.#isHidden(bucket, name))
        return `repo${repoIndex}: ${name} is not there as it was`;
      const label = DATA_FILE.exec(name)?.[1];
      const file = bucket.files.get(name);
      if (label === undefined || (file !== undefined && !bucket.foreign.has(file))) continue;
      if (this.#list(bucket)?.backups.some((entry) => entry.label === label))
        return `repo${repoIndex}: '${name}' of a listed backup was changed`;
    }
    return null;
  }

  /**
   * The first acknowledged segment that a recovery of the newest backup needs, and that a repository lacks without a
   * record; null if it has them all. It compares names only, and ignores thefts after `sinceMs`.
   */
  findLacking(repoIndex: number, sinceMs: number): string | null {
    const bucket = this.#buckets.find(({ key }) => key === repoIndex);
    const newest = bucket === undefined ? undefined : this.#list(bucket)?.backups.at(-1);
    if (bucket === undefined || newest?.archiveStart == null) return null;
    const from = newest.archiveStart;
    const lacking = [...this.acknowledged.keys()].find((name) => {
      const isStolenSince = (this.#harmed.get(`${repoIndex}:${name}`) ?? -1) >= sinceMs;
      const isKnown = name < from || isStolenSince || this.isMissing(repoIndex, name);
      return !isKnown && copiesOf(bucket, name).length === 0;
    });
    return lacking === undefined ? null : `repo${repoIndex} lacks ${lacking}, which ${newest.label} needs`;
  }

  /** Other bytes under their own hash show only beside another repository's copy. */
  #isHidden(bucket: Bucket, name: string): boolean {
    const sha1 = this.acknowledged.get(name) ?? "";
    const isWhole = [...bucket.files].some(
      ([path, file]) => path.includes(`/${name}-`) && path.includes(sha1OfStored(file)),
    );
    return isWhole && !this.#buckets.some((other) => other !== bucket && holds(other, name, sha1));
  }

  /**
   * Returns a violation or null. Checks only what changed since the last call. A backup list that landed late may be
   * outdated: if the storage has no versions, no process can prevent that between its last check and its call. The list
   * then counts again after a later writer.
   */
  check(isOverdue = false): string | null {
    for (const bucket of this.#buckets) {
      if (this.#seenVersions.get(bucket.key) === bucket.version) continue;
      this.#seenVersions.set(bucket.key, bucket.version);
      if (isOverdue && !this.#hasVersions && bucket.lastPath.includes("backup.info")) {
        this.staleLists++;
        this.#excusedLists.add(bucket.key);
        this.#staleLists.add(bucket.key);
      }
      const isExcused = this.#excusedLists.has(bucket.key);
      const broken = this.#checkListed(bucket);
      const intruded = isOverdue ? null : this.#checkWrite(bucket);
      const result = (isExcused ? null : broken) ?? intruded ?? this.#checkKept(bucket) ?? this.#checkWal(bucket);
      if (result !== null) return `repo${bucket.key}: ${result}`;
      const lost = this.dumps.check(bucket);
      if (lost !== null) return lost;
    }
    return null;
  }

  /** A successful backup is listed and complete, or was until retention removed it. */
  checkDone(repoIndex: number, label: string): string | null {
    this.#done.add(`${repoIndex}:${label}`);
    const was = this.check();
    if (was !== null) return was;
    if (this.#published.get(repoIndex)?.has(label) === true || this.#lost.has(`${repoIndex}:${label}`)) return null;
    const bucket = this.#buckets.find(({ key }) => key === repoIndex);
    if (this.#excusedLists.has(repoIndex) && bucket !== undefined && this.#problemOf(bucket, label) === null)
      return null;
    return `repo${repoIndex}: ${label} ended with exit 0 and was never listed and whole`;
  }

  /** From now on every backup list counts. */
  excuseNothing(): void {
    this.#excusedLists.clear();
    this.#seenVersions.clear();
  }

  /** Checks the end state: the backups that retention keeps are also listed. @param hasDumped a dump came last */
  checkEnd(hasDumped: boolean): string | null {
    const was = this.check();
    if (was !== null) return was;
    for (const bucket of this.#buckets) {
      const left = hasDumped ? this.dumps.checkEnd(bucket) : null;
      if (left !== null) return left;
      const listed = new Set(this.#list(bucket)?.backups.map(({ label }) => label));
      for (const label of this.#kept(bucket.key))
        if (!listed.has(label) && this.#isReported(bucket, label))
          return `repo${bucket.key}: ${label} is whole, kept and not listed at the end`;
    }
    return null;
  }

  /** Nobody writes a file into a listed backup. */
  #checkWrite(bucket: Bucket): string | null {
    const path = bucket.lastPath;
    const label = DATA_FILE.exec(path)?.[1];
    const file = bucket.files.get(path);
    if (label === undefined || file === undefined || bucket.foreign.has(file)) return null;
    if (!this.#list(bucket)?.backups.some((entry) => entry.label === label)) return null;
    return `'${path}' was written into a listed backup`;
  }

  #list(bucket: Bucket): BackupInfo | null {
    const path = backupInfoPath(STANZA);
    for (const candidate of [path, copyOf(path)]) {
      const file = bucket.files.get(candidate);
      if (file === undefined) continue;
      const known = this.#infos.get(bucket.key);
      if (known?.file === file) return known.value;
      const value = backupInfos.of(file, candidate);
      if (value === null) continue;
      this.#infos.set(bucket.key, { file, value });
      return value;
    }
    return null;
  }

  #checkListed(bucket: Bucket): string | null {
    let broken: string | null = null;
    for (const { label } of this.#list(bucket)?.backups ?? []) {
      if (this.#lost.has(`${bucket.key}:${label}`)) continue;
      const problem = this.#problemOf(bucket, label);
      if (problem !== null) {
        broken ??= `${label} is listed and cannot be restored: ${problem}`;
        continue;
      }
      const published = this.#published.get(bucket.key) ?? new Set();
      this.#published.set(bucket.key, published.add(label));
    }
    return broken;
  }

  #checkKept(bucket: Bucket): string | null {
    for (const label of this.#kept(bucket.key)) {
      if (!this.#isReported(bucket, label)) continue;
      const problem = this.#problemOf(bucket, label);
      if (problem !== null) return `${label}, which retention keeps, was removed: ${problem}`;
    }
    for (const id of this.#held) {
      const [key, label = ""] = id.split(":");
      const problem = Number(key) === bucket.key ? this.#problemOf(bucket, label) : null;
      if (problem !== null) return `${label}, which is held, was removed: ${problem}`;
    }
    return null;
  }

  /** An outdated list that landed late may have dropped a backup whose success was never reported. */
  #isReported(bucket: Bucket, label: string): boolean {
    return !this.#staleLists.has(bucket.key) || this.#done.has(`${bucket.key}:${label}`);
  }

  /** The newest full backups of all that were ever listed, and the backups that depend on them. */
  #kept(repoIndex: number): string[] {
    const labels = [...(this.#published.get(repoIndex) ?? [])].sort();
    const count = this.retention.get(repoIndex);
    if (count === undefined) return labels;
    const fulls = new Set(labels.filter((label) => fullLabelOf(label) === label).slice(-count));
    return labels.filter((label) => fulls.has(fullLabelOf(label)));
  }

  /** Why a backup cannot be restored, or null. */
  #problemOf(bucket: Bucket, label: string): string | null {
    const id = `${bucket.key}:${label}`;
    if (this.#lost.has(id)) return null;
    const file = bucket.files.get(manifestPath(STANZA, label));
    if (file === undefined) return "it has no manifest";
    const proof = this.#proofs.get(id);
    if (proof?.manifest === file && proof.files.every(([path, stored]) => bucket.files.get(path) === stored))
      return null;
    let known = this.#manifests.get(id);
    if (known?.file !== file) {
      const value = allManifests.of(file, label);
      if (value === null) return "its manifest is unreadable";
      known = { file, value };
      this.#manifests.set(id, known);
    }
    const used: (readonly [string, StoredFile])[] = [];
    const problem = this.#problemOfFiles(bucket, known.value, used);
    if (problem === null) this.#proofs.set(id, { manifest: file, files: used });
    return problem;
  }

  #problemOfFiles(bucket: Bucket, manifest: Manifest, used: (readonly [string, StoredFile])[]): string | null {
    const sha1s = new Map<string, string>();
    const missing: string[] = [];
    for (const file of manifest.files) {
      // Bundled backups store nothing for empty files.
      if (manifest.bundle && file.sizeBytes === 0) continue;
      const path = pathOf(manifest, file);
      const stored = bucket.files.get(path);
      if (this.#isHarmed(bucket, path)) return null;
      if (stored === undefined) {
        missing.push(path);
        continue;
      }
      used.push([path, stored]);
      const sha1 = file.bundle === undefined ? sha1OfStored(stored) : sha1Of(inBundle(stored, file));
      if (sha1 !== file.sha1) return `'${path}' has other bytes than the manifest says`;
      if (RELATION.test(file.name)) sha1s.set(file.name, sha1);
    }
    if (missing.length > 0)
      return `${missing.length} of ${manifest.files.length} files are missing, '${missing[0]}' first`;
    if (this.#moments.some((state) => isEqual(state.sha1s, sha1s))) return null;
    const origins = [...sha1s].map(
      ([name, sha1]) => `${name.slice(name.lastIndexOf("/") + 1)}: ${this.#originOf(name, sha1)}`,
    );
    return `its files are those of no server at no moment (${origins.join(", ")})`;
  }

  #originOf(name: string, sha1: string): string {
    return this.#moments.find((state) => state.sha1s.get(name) === sha1)?.server ?? "nobody";
  }

  /** The first segment that a kept backup needs. */
  #neededFrom(bucket: Bucket): string {
    const starts = this.#kept(bucket.key).flatMap(
      (label) => this.#manifests.get(`${bucket.key}:${label}`)?.value.archiveStart ?? [],
    );
    return starts.sort()[0] ?? "";
  }

  /** The first segment that expire leaves; an empty text if nothing expires. */
  #keptFrom(bucket: Bucket): string {
    return this.retention.has(bucket.key) ? this.#neededFrom(bucket) : "";
  }

  #checkWal(bucket: Bucket): string | null {
    for (const [path, file] of bucket.files) {
      const name = walNameOf(path);
      if (name === null || bucket.foreign.has(file)) continue;
      if (this.#written.get(name)?.has(sha1OfStored(file)) !== true)
        return `${path} has other bytes than the server wrote`;
    }
    if (this.acknowledged.size === 0) return null;
    const neededFrom = this.#keptFrom(bucket);
    for (const [name, sha1] of this.acknowledged) {
      if (name < neededFrom || holds(bucket, name, sha1)) continue;
      if (this.#isHarmed(bucket, name) || this.isMissing(bucket.key, name)) continue;
      return copiesOf(bucket, name).length > 0
        ? `acknowledged ${name} has other bytes`
        : `acknowledged ${name} is neither here nor recorded as missing`;
    }
    return null;
  }
}

function walNameOf(path: string): string | null {
  if (!path.startsWith("archive/")) return null;
  const known = walNames.get(path);
  if (known !== undefined) return known;
  const name = STORED_WAL.exec(path)?.[1] ?? null;
  walNames.set(path, name);
  return name;
}

function nullOnError<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}

/** The files with this segment's name, and those below a directory of that name. */
function copiesOf(bucket: Bucket, name: string): StoredFile[] {
  return [...bucket.files].flatMap(([path, file]) =>
    path.startsWith(`archive/${STANZA}/`) && path.includes(`/${name}`) ? [file] : [],
  );
}

function holds(bucket: Bucket, name: string, sha1: string): boolean {
  return copiesOf(bucket, name).some((file) => sha1OfStored(file) === sha1);
}

function pathOf(manifest: Manifest, file: ManifestFile): string {
  const label = file.reference ?? manifest.label;
  return file.bundle === undefined
    ? dataFilePath(STANZA, label, file, manifest.options.compressType)
    : bundlePath(STANZA, label, file.bundle.id);
}

function inBundle({ bytes }: StoredFile, { bundle, sizeRepoBytes }: ManifestFile): Uint8Array {
  const begin = bundle?.offsetBytes ?? 0;
  return bytes.subarray(begin, begin + sizeRepoBytes);
}

function sha1OfStored(file: StoredFile): string {
  const known = contents.get(file);
  if (known !== undefined) return known;
  const sha1 = sha1Of(file.bytes);
  contents.set(file, sha1);
  return sha1;
}

function isEqual(left: ReadonlyMap<string, string>, right: ReadonlyMap<string, string>): boolean {
  return left.size === right.size && [...left].every(([name, sha1]) => right.get(name) === sha1);
}
