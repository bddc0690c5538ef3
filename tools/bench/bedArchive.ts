/** The WAL of a bed, whose server archives nothing by itself. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Bed } from "./bed";
import { PROGRAMS } from "./figures";

/** Pushes the WAL of the backups for both programs, because verify looks for it. */
export class BedArchive {
  readonly #bed: Bed;
  #from: string | null = null;

  constructor(bed: Bed) {
    this.#bed = bed;
  }

  /** Before a backup. */
  async begin(): Promise<void> {
    this.#from ??= await this.#current();
  }

  /** Segments finished since. */
  async push(): Promise<void> {
    const { cluster } = this.#bed;
    const from = this.#from ?? "";
    const current = await this.#current();
    const folder = join(cluster.dataPath, "pg_wal");
    const finished = readdirSync(folder).filter(
      (name) => /^[0-9A-F]{24}$/.test(name) && name >= from && name < current,
    );
    for (const program of PROGRAMS) {
      for (const name of finished.sort())
        await this.#bed.run(program, ["archive-push", join(folder, name)], { sync: false, sampleMs: 0 });
    }
    this.#from = current;
  }

  /** The next segment to be written: after a full one nothing exists yet. */
  #current(): Promise<string> {
    return this.#bed.cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn() + 1)");
  }
}
