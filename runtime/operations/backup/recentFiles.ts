/**
 * Files that may have been modified within the second of the scan. A change within the same second keeps such a file's
 * time, and the next backup would take it for unchanged: its copy waits until that second is over ("pgbackrest-format"
 * 15, step 9). Any change of another file gives it a new time, so its copy need not wait.
 *
 * The clock of a file server may be behind the cluster's, so a file is compared with the time that the same file system
 * gave to pg_control at the checkpoint. What links lead to may be on another one.
 */
import { filesWhere, viewAt } from "../../format/repository/fileRows";
import type { FileList } from "../../format/repository/manifest";
import { NameIndex } from "../../format/repository/nameIndex";
import type { Scan, ScannedFile } from "../../postgres/dataDirectory";
import { CONTROL_FILE } from "../restore/restorePlan";

type FileTime = Pick<ScannedFile, "modifiedAtS" | "name">;

const DATA_PREFIX = "pg_data/";
const TABLESPACE_LINKS = "pg_data/pg_tblspc/";
const WAL_LINK = "pg_data/pg_wal";

const SECOND_MS = 1000;
/** The kernel stamps files with its last tick, up to 10 ms ago. */
const FILE_TIME_LAG_MS = 20;

/** Seconds of a file server may begin at any part of ours: each is over a whole second after the scan. */
export function untilSecondOverMs(scannedAtMs: number, ownClock: boolean): number {
  return SECOND_MS - (ownClock ? scannedAtMs % SECOND_MS : 0) + FILE_TIME_LAG_MS;
}

export class RecentFiles {
  readonly #sinceS: number;
  readonly #secondOver: Promise<void>;
  #isOver = false;

  /** @param secondOver rejects only when the backup is aborted */
  constructor({ files, links }: Pick<Scan, "files" | "links">, scannedAtS: number, secondOver: Promise<void>) {
    const controlAt = NameIndex.of(files).find(CONTROL_FILE);
    const isLinked = links.some(({ name }) => !name.startsWith(TABLESPACE_LINKS) && name !== WAL_LINK);
    this.#sinceS =
      controlAt === -1 || isLinked
        ? Number.NEGATIVE_INFINITY
        : Math.min(viewAt(files, controlAt).modifiedAtS, scannedAtS);
    this.#secondOver = secondOver;
    secondOver.then(
      () => void (this.#isOver = true),
      () => {},
    );
  }

  /** Ends when all these files may be copied. */
  async wait(files: Iterable<FileTime>): Promise<void> {
    if (this.#isOver) return;
    for (const file of files) if (this.#isRecent(file)) return this.#secondOver;
  }

  #isRecent({ modifiedAtS, name }: FileTime): boolean {
    return modifiedAtS >= this.#sinceS || !name.startsWith(DATA_PREFIX);
  }

  /** `files` descend by size. Those that must wait come last, or once they may be copied at their place. */
  *inTurn(files: FileList): Iterable<ScannedFile> {
    const recent = filesWhere(files, (file) => this.#isRecent(file));
    let position = 0;
    for (const file of filesWhere(files, (each) => !this.#isRecent(each))) {
      for (; this.#isOver && position < recent.length; position++) {
        const next = recent.at(position) as ScannedFile;
        if (next.sizeBytes < file.sizeBytes) break;
        yield next;
      }
      yield file;
    }
    for (; position < recent.length; position++) yield recent.at(position) as ScannedFile;
  }
}
