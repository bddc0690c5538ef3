/**
 * Files that the server modified shortly before the scan. A change within the same second keeps such a file's time, and
 * the next backup would take it for unchanged: its copy waits until that second is over ("pgbackrest-format" 15, step
 * 9). Any change of another file gives it a new time, so its copy need not wait.
 */
import { filesWhere } from "../../format/repository/fileRows";
import type { FileList } from "../../format/repository/manifest";
import type { ScannedFile } from "../../postgres/dataDirectory";

/** The clock of a file server may be behind the cluster's by this much. */
const CLOCK_LAG_S = 2;

export class RecentFiles {
  readonly #sinceS: number;
  readonly #secondOver: Promise<void>;
  #isOver = false;

  /** @param secondOver rejects only when the backup is aborted */
  constructor(scannedAtS: number, secondOver: Promise<void>) {
    this.#sinceS = scannedAtS - CLOCK_LAG_S;
    this.#secondOver = secondOver;
    secondOver.then(
      () => void (this.#isOver = true),
      () => {},
    );
  }

  /** Ends when all these files may be copied. */
  async wait(files: Iterable<Pick<ScannedFile, "modifiedAtS">>): Promise<void> {
    if (this.#isOver) return;
    for (const { modifiedAtS } of files) if (modifiedAtS >= this.#sinceS) return this.#secondOver;
  }

  /** `files` descend by size. Those that must wait come last, or once they may be copied at their place. */
  *inTurn(files: FileList): Iterable<ScannedFile> {
    const recent = filesWhere(files, ({ modifiedAtS }) => modifiedAtS >= this.#sinceS);
    let position = 0;
    for (const file of filesWhere(files, ({ modifiedAtS }) => modifiedAtS < this.#sinceS)) {
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
