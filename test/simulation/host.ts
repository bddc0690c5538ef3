/** A host with a server of the cluster, and everything that its verbs use. */
import type { Context } from "../../runtime/base/context";
import { imageOf } from "../../runtime/format/page/pgControl";
import type { MissingWalStore } from "../../runtime/local/missingWal";
import type { BackupOptions } from "../../runtime/operations/backup/backup";
import type { ServerCandidate } from "../../runtime/operations/backup/chooseServers";
import type { Session } from "../../runtime/postgres/session";
import type { Repository } from "../../runtime/repository/repository";
import { vectorBytes } from "../runtime/format/vectors";
import { OPTIONS, server } from "../runtime/operations/backup/support";
import { CLUSTER, CONTROL, OTHER_CONTROL, walBytes, walName } from "../runtime/repository/support";
import { type Life, STARTED_AT_MS } from "./engine";
import { contentOf, filesIn, makeDirectory, ROOT, removeFile, writeFile } from "./files";
import { type Bucket, type Conditions, sha1Of, type StoredFile } from "./bucket";
import type { Streams } from "./streamTruth";
import type { State, Truth } from "./truth";

export interface Scenario {
  readonly name: string;
  readonly repoCount: 1 | 2;
  /** Verbs that ran before, undisturbed, on the first writer's host. */
  readonly past: readonly string[];
  /** Verbs of each writer, by its name. Digits distinguish processes of one host: `a` and `a2`. */
  readonly writers: Readonly<Record<string, readonly string[]>>;
  /**
   * If false, the first writer's server is the primary. All others are standbys, and their hosts cannot reach a
   * primary.
   */
  readonly standbysOnly: boolean;
  /** Conditions of the storage. The default is `versions`. */
  readonly conditions?: Conditions;
  /** True for backups with bundles. */
  readonly bundle?: true;
  /** Number of files that differ between servers. The default is `RELATIONS`. */
  readonly relationCount?: number;
  /** Number of logical dumps that a repository keeps. The default is all. */
  readonly keepDumps?: number;
}

/** State that all hosts share. */
export interface Shared {
  readonly scenario: Scenario;
  readonly moments: State[];
  readonly buckets: readonly Bucket[];
  readonly truth: Truth;
  readonly streams: Streams;
  /** Number of the segment that is being written. */
  walNo: number;
  /** Files of a repository that a snapshot has. */
  readonly snapshots: Map<number, ReadonlyMap<string, StoredFile>>;
  /** A backup reported success. */
  done(repoIndex: number, label: string): void;
  /** What a program says is untrue, or null. */
  judge(problem: string | null): void;
  /** True while that run of a process has not ended, even if it is stopped. */
  isRunning(process: string, incarnation: number): boolean;
  newestLabel(repo: Repository): Promise<string>;
}

const SIZE_BYTES = 64;
export const WAL_SIZE_BYTES = 4096;
/** Beginnings of segments. The tests' whole ones have a MiB each, which every run would make again. */
const walBeginnings = new Map<number, Uint8Array>();

/** The beginning of segment `no`, as long as the simulation's segments are. */
export function shortWalBytes(no: number): Uint8Array {
  const known = walBeginnings.get(no) ?? new Uint8Array(walBytes(no).subarray(0, WAL_SIZE_BYTES));
  walBeginnings.set(no, known);
  return new Uint8Array(known);
}

/** Offset of a server's own bytes in a segment. */
export const TWIN_AT = 700;
const RELATIONS = 5;
const FIRST_RELATION = 16_384;
const SAVE_STEP_BYTES = 150;
const CONTROL_IMAGE = imageOf(vectorBytes("pg_control.pg15.first512.bin"));
const PAST_WRITTEN_S = STARTED_AT_MS / 1000 - 86_400;
const USERS = { userName: () => "postgres", groupName: () => "postgres", findUid: () => null, findGid: () => null };

export interface Stage {
  readonly life: Life;
  readonly ctx: Context;
  readonly host: Host;
  readonly world: Shared;
  /** @param away the key of one that the program cannot reach */
  repositories(keys: readonly number[], away?: number): Repository[];
}

export type HostEvent =
  | { readonly kind: "change"; readonly nowMs: number }
  | { readonly kind: "segment"; readonly no: number; readonly isAcknowledged: boolean };

/** `a` for `a2`. */
export function hostNameOf(process: string): string {
  return process.replace(/\d+$/, "");
}

export class Host {
  readonly name: string;
  readonly isStandby: boolean;
  readonly dataDirectory: string;
  readonly walDirectory: string;
  readonly missingWal = memoryMissingWal();
  readonly events: HostEvent[] = [];
  /** The last segment that the server has finished. */
  newestWal = "";
  /** Each host has one, stored in its lock folder. */
  readonly domain: string;
  readonly #world: Shared;
  readonly #versions = new Map<string, number>();
  readonly #inode: number;
  readonly #relations: readonly string[];

  constructor(name: string, isStandby: boolean, world: Shared, index: number) {
    this.name = name;
    this.isStandby = isStandby;
    this.domain = `domain-${name}`;
    this.dataDirectory = `${ROOT}/${name}/data`;
    this.walDirectory = `${this.dataDirectory}/pg_wal`;
    this.#world = world;
    this.#inode = 1000 * (index + 1);
    this.#relations = Array.from(
      { length: world.scenario.relationCount ?? RELATIONS },
      (_, no) => `base/5/${FIRST_RELATION + no}`,
    );
    makeDirectory(`${this.walDirectory}/archive_status`);
    this.#write("PG_VERSION", "15\n", PAST_WRITTEN_S);
    this.#write("global/pg_control", CONTROL_IMAGE, PAST_WRITTEN_S);
    for (const relation of this.#relations) this.#writeRelation(relation, PAST_WRITTEN_S);
    this.#remember();
  }

  /** Repeats an event of this host's past. */
  take(event: HostEvent): void {
    if (event.kind === "change") return this.change(event.nowMs);
    this.finishSegment(event.no);
    if (event.isAcknowledged) removeFile(`${this.walDirectory}/archive_status/${walName(event.no)}.ready`);
  }

  /** Changes some relations, as a second of work does. */
  change(nowMs: number): void {
    this.events.push({ kind: "change", nowMs });
    for (const relation of this.#relations.slice(0, 2)) this.#writeRelation(relation, Math.floor(nowMs / 1000));
    this.#remember();
  }

  /** With `isTwin` the bytes are this server's own: two primaries write segments of one name. */
  finishSegment(no: number, isTwin = false): string {
    this.events.push({ kind: "segment", no, isAcknowledged: true });
    const name = walName(no);
    const bytes = shortWalBytes(no);
    if (isTwin) bytes.set(Buffer.from(this.name), TWIN_AT);
    this.#world.truth.write(name, sha1Of(bytes));
    writeFile(`${this.walDirectory}/${name}`, bytes, PAST_WRITTEN_S, this.#inode + no);
    this.newestWal = name;
    writeFile(`${this.walDirectory}/archive_status/${name}.ready`, "", PAST_WRITTEN_S, this.#inode + no);
    return name;
  }

  /** Segments that PostgreSQL has not had acknowledged, oldest first. */
  listReady(): string[] {
    return filesIn(`${this.walDirectory}/archive_status`).map((name) => name.replace(/\.ready$/, ""));
  }

  /** PostgreSQL removes or renames a segment once it is acknowledged. */
  recycle(): void {
    const ready = new Set(this.listReady());
    for (const name of filesIn(this.walDirectory)) if (!ready.has(name)) removeFile(`${this.walDirectory}/${name}`);
  }

  sha1Of(name: string): string {
    return sha1Of(contentOf(`${this.walDirectory}/${name}`));
  }

  /** @param sinceMs when PostgreSQL asked */
  acknowledge(name: string, sinceMs: number, isSure: (repoIndex: number) => boolean): void {
    removeFile(`${this.walDirectory}/archive_status/${name}.ready`);
    const isMissing = (repoIndex: number): boolean =>
      [...this.missingWal.list(repoIndex), ...this.missingWal.listConflicts(repoIndex)].includes(name);
    this.#world.judge(this.#world.truth.acknowledge(name, this.sha1Of(name), sinceMs, isMissing, isSure));
  }

  candidate(ctx: Context): ServerCandidate {
    return { key: 1, dataDirectory: this.dataDirectory, connect: async () => this.#session(ctx) };
  }

  #session(ctx: Context): Session {
    const base = server(this.dataDirectory, ctx, { facts: { inRecovery: this.isStandby } });
    const world = this.#world;
    const own: Partial<Record<keyof Session, unknown>> = {
      query: async () => ({ rows: [] }),
      listTablespaces: async () => [],
      currentWalName: async () => walName(world.walNo),
      startBackup: async () => ({ lsn: `0/${world.walNo}00028`, walName: walName(world.walNo) }),
      stopBackup: async () => ({
        lsn: `0/${world.walNo}00100`,
        walName: walName(world.walNo),
        backupLabel: `${this.name}\n`,
        tablespaceMap: "",
      }),
    };
    return { ...base, ...own } as typeof base;
  }

  #writeRelation(relation: string, modifiedAtS: number): void {
    const version = (this.#versions.get(relation) ?? 0) + 1;
    this.#versions.set(relation, version);
    this.#write(relation, `${relation} of server ${this.name}, version ${version}`.padEnd(SIZE_BYTES), modifiedAtS);
  }

  #write(name: string, bytes: Uint8Array | string, modifiedAtS: number): void {
    writeFile(`${this.dataDirectory}/${name}`, bytes, modifiedAtS, this.#inode + name.length);
  }

  #remember(): void {
    const sha1s = this.#relations.map(
      (name) => [`pg_data/${name}`, sha1Of(contentOf(`${this.dataDirectory}/${name}`))] as const,
    );
    this.#world.moments.push({ server: this.name, sha1s: new Map(sha1s) });
  }
}

export const BACKUP_OPTIONS: BackupOptions = {
  ...OPTIONS,
  backupStandby: "prefer",
  checksumPage: false,
  archiveModeCheck: false,
  manifestSaveThresholdBytes: SAVE_STEP_BYTES,
  // More than the simulation's files have: a MiB for each of them costs more than its copy.
  bufferSizeBytes: 16_384,
};
export const FACTS = { cluster: CLUSTER, control: CONTROL, otherControl: OTHER_CONTROL, users: USERS };

function memoryMissingWal(): MissingWalStore {
  const missing = memoryRecords();
  const conflicts = memoryRecords();
  return {
    add: missing.add,
    list: missing.list,
    clusters: missing.clusters,
    repoIndexes: () => [1, 2].filter((key) => missing.list(key).length > 0),
    sha1Of: (repoIndex, name) => missing.sha1Of(repoIndex, name) ?? conflicts.sha1Of(repoIndex, name),
    remove(repoIndex, name) {
      missing.remove(repoIndex, name);
      conflicts.remove(repoIndex, name);
    },
    addConflict: conflicts.add,
    listConflicts: conflicts.list,
    conflictClusters: conflicts.clusters,
    addDropped: () => {},
    listDropped: () => [],
  };
}

function memoryRecords() {
  const records = new Map<number, Map<string, string>>();
  const of = (repoIndex: number): Map<string, string> => {
    const result = records.get(repoIndex) ?? new Map<string, string>();
    records.set(repoIndex, result);
    return result;
  };
  return {
    add: (repoIndex: number, name: string, _cluster: unknown, sha1 = "") =>
      void of(repoIndex).set(name, sha1 === "" ? (of(repoIndex).get(name) ?? "") : sha1),
    list: (repoIndex: number) => [...of(repoIndex).keys()].sort(),
    clusters: (repoIndex: number) => (of(repoIndex).size > 0 ? [CLUSTER] : []),
    sha1Of: (repoIndex: number, name: string) => of(repoIndex).get(name) || null,
    remove: (repoIndex: number, name: string) => void of(repoIndex).delete(name),
  };
}
