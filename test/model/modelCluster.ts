/**
 * The cluster of the fault model: a directory with changing relations and with finished WAL segments that wait for the
 * archiver. It knows the right content of every WAL file, and of the relations at each snapshot.
 */
import { existsSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../runtime/base/clock";
import type { Context } from "../../runtime/base/context";
import { sha1Hex } from "../../runtime/base/hash";
import { formatLsn } from "../../runtime/format/wal/walSegment";
import type { Session } from "../../runtime/postgres/session";
import { labelText } from "../runtime/operations/archive";
import { server } from "../runtime/operations/backup/support";
import { addWal, makeDataDirectory, WAL_SIZE_BYTES, walBytes, walName } from "../runtime/repository/support";

const PAGE_BYTES = 8192;

/** Name → SHA-1 of the files that a restore must return unchanged. */
export type Snapshot = ReadonlyMap<string, string>;

export class ModelCluster {
  readonly dataDirectory: string;
  readonly walDirectory: string;
  /** Finished WAL files: name → content. */
  readonly wal = new Map<string, () => Uint8Array>();
  readonly #clock: Clock;
  #currentNo = 1;
  #timeline = 1;
  /** Lines of the newest timeline history. */
  readonly #histories: string[] = [];

  constructor(folder: string, clock: Clock) {
    this.dataDirectory = makeDataDirectory(folder);
    this.walDirectory = join(this.dataDirectory, "pg_wal");
    this.#clock = clock;
  }

  /** Creates, grows, shrinks or removes a relation, or changes one of its pages. */
  write(seed: number): void {
    const path = join(this.dataDirectory, "base", "5", String(16_384 + (seed % 7)));
    const nowS = Math.floor(this.#clock.nowMs() / 1000);
    if (seed % 11 === 0) return rmSync(path, { force: true });
    const isThere = existsSync(path);
    const pages = isThere && seed % 2 === 0 ? readFileSync(path) : Buffer.alloc(PAGE_BYTES * (1 + (seed % 24)));
    const first = isThere && seed % 2 === 0 ? PAGE_BYTES * (seed % Math.max(1, pages.length / PAGE_BYTES)) : 0;
    const end = isThere && seed % 2 === 0 ? first + PAGE_BYTES : pages.length;
    for (let offset = first; offset < Math.min(end, pages.length); offset += 4)
      pages.writeUInt32LE((seed * 2_654_435_761 + offset * 31) >>> 0, offset);
    writeFileSync(path, pages, { mode: 0o600 });
    utimesSync(path, nowS, nowS);
  }

  finishSegment(): void {
    const no = this.#currentNo++;
    this.#addWal(walName(no, this.#timeline), () => walBytes(no));
  }

  /** Promotes: the old timeline ends with a partial segment, and the new one continues that segment. */
  promote(): void {
    const no = this.#currentNo;
    this.#addWal(`${walName(no, this.#timeline)}.partial`, () => walBytes(no));
    this.#histories.push(`${this.#timeline}\t${this.#lsn(0n)}\tno recovery target specified\n`);
    this.#timeline++;
    const text = Buffer.from(this.#histories.join(""));
    this.#addWal(`${walName(0, this.#timeline).slice(0, 8)}.history`, () => text);
  }

  /** Removes acknowledged WAL, like PostgreSQL: from then on only the repositories have it. */
  checkpoint(acknowledged: ReadonlySet<string>): void {
    for (const name of readdirSync(this.walDirectory))
      if (acknowledged.has(name)) rmSync(join(this.walDirectory, name));
  }

  snapshot(): Snapshot {
    return snapshotOf(this.dataDirectory);
  }

  /** The segments that recovery from `archiveStart` reads, in its order: each one once, on the continuing timeline. */
  segmentsFrom(archiveStart: string): string[] {
    const segments = [...this.wal.keys()].filter(
      (name) => /^[0-9A-F]{24}$/.test(name) && name.slice(8) >= archiveStart.slice(8),
    );
    return segments.sort((left, right) => (left.slice(8) < right.slice(8) ? -1 : 1));
  }

  /** A server whose backups begin and end with a WAL switch, and whose archiver runs during them. */
  session(archive: () => Promise<unknown>, ctx: Context): Session {
    const base = server(this.dataDirectory, ctx);
    const current = (): string => walName(this.#currentNo, this.#timeline);
    const switched = async (): Promise<string> => {
      const name = current();
      this.finishSegment();
      await archive();
      return name;
    };
    let startName = "";
    const own: Partial<Record<keyof Session, unknown>> = {
      currentWalName: async () => current(),
      switchWal: switched,
      startBackup: async () => {
        await switched();
        startName = current();
        return { lsn: this.#lsn(40n), walName: startName };
      },
      stopBackup: async () => {
        const stop = {
          lsn: this.#lsn(80n),
          walName: current(),
          backupLabel: "START WAL LOCATION: 0/300028\n",
          tablespaceMap: "",
        };
        const history = Buffer.from(labelText(startName));
        this.finishSegment();
        this.#addWal(`${startName}.00000028.backup`, () => history);
        await archive();
        return stop;
      },
    };
    return { ...base, ...own } as typeof base;
  }

  #lsn(offset: bigint): string {
    return formatLsn(BigInt(this.#currentNo) * BigInt(WAL_SIZE_BYTES) + offset);
  }

  #addWal(name: string, content: () => Uint8Array): void {
    addWal(this.walDirectory, name, content());
    this.wal.set(name, content);
  }
}

/** Only the relations: the model writes nothing else in a data directory. */
export function snapshotOf(directory: string): Map<string, string> {
  const root = join(directory, "base");
  const names = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = names.map((entry) => join(entry.parentPath, entry.name)).sort();
  return new Map(paths.map((path) => [path.slice(root.length + 1), sha1Hex(readFileSync(path))]));
}
