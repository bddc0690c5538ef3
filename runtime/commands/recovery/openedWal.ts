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
import { mkdir, readdir, rm } from "../../local/nodeFiles";
import { ASK_SCRIPT } from "../../operations/open/askForWal";
import type { OpenLocation } from "../../operations/open/openLocation";
import type { WalOffer } from "../../operations/open/serveBackup";
import { inlinePool } from "../../operations/shared/jobs";
import type { CommandProcess } from "../../process/commandProcess";

/** Hides the latency of a store. Behind the target each further segment would be fetched for nothing. */
const SEGMENTS_AHEAD = 2;

/** Until it is closed. Reads the data directory's files in the upper directory: this process must not use its mount. */
export async function offerWal(
  proc: CommandProcess,
  { fetchedWal, upper, wal, walScript, walSocket }: OpenLocation,
  control: Awaited<ReturnType<CommandProcess["loadControl"]>>,
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
  const socket = await serveControlSocket(
    { path: walSocket },
    async (_, [verb, walName = ""], gone) => {
      try {
        if (verb !== "archive-get" || parseWalName(walName) === null)
          throw fail("commandInvalid", `an opened backup serves only archive-get of WAL files, not '${verb}'`);
        // Recovery asks for one file after the other, and has copied the earlier ones.
        for (const name of await readdir(fetchedWal))
          if (name !== walName) await rm(`${fetchedWal}/${name}`, { force: true });
        const { error, exitCode } = await getForRecovery(parts, walName, `${fetchedWal}/${walName}`, gone);
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
