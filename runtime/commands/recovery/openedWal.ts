/** Serves WAL to the recovery of an opened backup, from the process that serves its files. */
import { errorLines, serveControlSocket } from "../../agent/controlSocket";
import { GetService, type GetSource } from "../../archiver/getService";
import { OwnFiles } from "../../archiver/ownFile";
import { getForRecovery } from "../../archiver/recoveryGet";
import { utf8 } from "../../base/bytes";
import { untilAborted } from "../../base/clock";
import { fail, toBackupError } from "../../base/errors";
import { parseWalName } from "../../format/wal/walSegment";
import { atomicWrite } from "../../local/atomicWrite";
import { mkdir, rm } from "../../local/nodeFiles";
import { ASK_SCRIPT } from "../../operations/open/askForWal";
import type { OpenLocation } from "../../operations/open/openLocation";
import type { WalOffer } from "../../operations/open/serveBackup";
import { inlinePool } from "../../operations/shared/jobs";
import type { CommandProcess } from "../../process/commandProcess";

/** Hides the latency of a store. Behind the target each further segment would be fetched for nothing. */
const SEGMENTS_AHEAD = 2;

/**
 * Until it is closed. Reads the data directory's files in the upper directory: this process must not use its mount.
 * @param firstWal what the recovery needs first
 */
export async function offerWal(
  proc: CommandProcess,
  { fetchedWal, upper, wal, walScript, walSocket }: OpenLocation,
  control: Awaited<ReturnType<CommandProcess["loadControl"]>>,
  firstWal: string | null,
): Promise<WalOffer> {
  const { config, ctx } = proc;
  await rm(wal, { recursive: true, force: true });
  await mkdir(fetchedWal, { recursive: true, mode: 0o700 });
  await atomicWrite(walScript, utf8(ASK_SCRIPT), { mode: 0o600 });
  const repos = proc.repositories();
  // A thread for each transfer would cost more memory than it saves time.
  const pool = inlinePool(new Map(repos.map((repo) => [repo.key, repo])), ctx, SEGMENTS_AHEAD);
  const getQueueSizeBytesMax = SEGMENTS_AHEAD * control.walSegmentSizeBytes;
  const source: GetSource = {
    config: { ...config, spoolPath: wal, archive: { ...config.archive, getQueueSizeBytesMax } },
    dataDirectory: upper,
    loadControl: () => Promise.resolve(control),
    pool: () => pool,
    readFile: (path) => proc.readFile(path),
    repositories: () => repos,
  };
  const gets = new GetService(source, ctx);
  const parts = { source, gets, ownFiles: new OwnFiles(), refusesTablespace: true };
  const given = new GivenFiles(fetchedWal);
  const get = (walName: string, gone: AbortSignal): Promise<RecoveryAnswer> =>
    given.get(walName, () => getForRecovery(parts, walName, `${fetchedWal}/${walName}`, gone));
  // While the server starts. Its own request reports what fails.
  if (firstWal !== null) get(firstWal, ctx.signal).catch(() => {});
  const socket = await serveControlSocket(
    { path: walSocket },
    async (_, [verb, walName = ""], gone) => {
      try {
        if (verb !== "archive-get" || parseWalName(walName) === null)
          throw fail("commandInvalid", `an opened backup serves only archive-get of WAL files, not '${verb}'`);
        const { error, exitCode } = await get(walName, gone);
        if (error !== null) ctx.log.error(error);
        return { exitCode, lines: error === null ? [] : errorLines(error) };
      } catch (thrown) {
        const error = toBackupError(thrown);
        ctx.log.error(error);
        return { exitCode: null, lines: errorLines(error) };
      }
    },
    ctx,
  );
  return {
    close: async (enough) => {
      await socket.close(enough);
      await Promise.race([gets.close(), untilAborted(enough)]);
    },
  };
}

type RecoveryAnswer = Awaited<ReturnType<typeof getForRecovery>>;

/** Files that a recovery has got: it asks for its last segment twice, and copies one file after the other. */
class GivenFiles {
  readonly #folder: string;
  /** The newest at the end, or under way. */
  readonly #files = new Map<string, Promise<RecoveryAnswer>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async get(walName: string, bring: () => Promise<RecoveryAnswer>): Promise<RecoveryAnswer> {
    const known = await this.#files.get(walName)?.catch(() => null);
    if (known?.exitCode === 0) return known;
    for (const [name] of [...this.#files].slice(0, -1)) {
      await rm(`${this.#folder}/${name}`, { force: true });
      this.#files.delete(name);
    }
    const fetching = bring();
    this.#files.set(walName, fetching);
    try {
      const answer = await fetching;
      if (answer.exitCode !== 0) this.#files.delete(walName);
      return answer;
    } catch (error) {
      this.#files.delete(walName);
      throw error;
    }
  }
}
