/**
 * Proves that `pg_upgrade` made the cluster of one data directory from that of another, so that a stanza never follows
 * a cluster that is not its own.
 *
 * pg_upgrade gives the new cluster its own system identifier, but copies the next transaction number into it and starts
 * its WAL behind the previous cluster's (`pg_resetwal -x`, `-l`); databases keep their oids. The previous cluster stays
 * shut down; `--link` and `--swap` rename its pg_control. (PostgreSQL "src/bin/pg_upgrade/pg_upgrade.c",
 * copy_xact_xlog_xid; "relfilenumber.c", disable_old_cluster.)
 */
import { readdir } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { type BackupError, fail, isError } from "../../base/errors";
import { type UpgradeFacts, upgradeFactsOf } from "../../format/page/pgControl";
import { formatLsn } from "../../format/wal/walSegment";
import { type ControlFile, loadControlFile } from "../../postgres/controlFile";
import type { ClusterIdentity } from "../shared/identity";

const DISABLED_NAME = "pg_control.old";
/** Databases below were made by initdb. */
const FIRST_USER_OID = 16_384;

export interface UpgradedDirectories {
  /** Data directory of the cluster before pg_upgrade. */
  readonly former: string;
  readonly present: string;
}

/**
 * The cluster that was upgraded.
 * @throws dbMismatch (58) with what contradicts, and errors of reading pg_control
 */
export async function proveUpgrade(directories: UpgradedDirectories, ctx: Context): Promise<ClusterIdentity> {
  const { former, present } = directories;
  const [before, now] = [await loadFormer(former, ctx), await loadControlFile(present, ctx)];
  const contradiction = findContradiction(before, now, directories) ?? (await findLostDatabase(directories));
  if (contradiction !== null) throw refusal(contradiction, directories);
  const { pgVersion, systemId } = before.control;
  return { version: pgVersion, systemId };
}

function refusal(contradiction: string, { former, present }: UpgradedDirectories): BackupError {
  return fail("dbMismatch", `'${present}' is not what pg_upgrade made of '${former}': ${contradiction}`, {
    hint: [
      "is pg1-path the upgraded cluster, and is the other directory the one that it was upgraded from?",
      "stanza-upgrade without --upgraded-from lets the stanza follow the cluster of pg1-path without any proof.",
    ],
  });
}

/** Reads pg_control, or the one that pg_upgrade renamed. */
async function loadFormer(directory: string, ctx: Context): Promise<ControlFile> {
  try {
    return await loadControlFile(directory, ctx);
  } catch (error) {
    if (!isError(error, "fileMissing")) throw error;
    return loadControlFile(directory, ctx, DISABLED_NAME);
  }
}

function findContradiction(former: ControlFile, present: ControlFile, paths: UpgradedDirectories): string | null {
  const [before, now] = [former.control, present.control];
  const [then, since] = [upgradeFactsOf(former.header), upgradeFactsOf(present.header)];
  if (Number(now.pgVersion) <= Number(before.pgVersion))
    return `it has version ${now.pgVersion}, and the other one ${before.pgVersion}`;
  if (now.systemId === before.systemId) return "both have the same system identifier";
  if (!then.isShutDown) return `the cluster of '${paths.former}' is running or was not shut down cleanly`;
  return findStepBack(then, since, before.checkpointLsn, now.redoLsn);
}

function findStepBack(then: UpgradeFacts, since: UpgradeFacts, thenLsn: bigint, sinceLsn: bigint): string | null {
  if (sinceLsn <= thenLsn)
    return `its WAL is at ${formatLsn(sinceLsn)}, and that of the other one ended at ${formatLsn(thenLsn)}`;
  if (since.nextXid < then.nextXid)
    return `its next transaction is ${since.nextXid}, and that of the other one was ${then.nextXid}`;
  return null;
}

/** With `--swap` the databases' directories have left the previous cluster: then nothing can be compared. */
async function findLostDatabase({ former, present }: UpgradedDirectories): Promise<string | null> {
  const [before, now] = [await databasesIn(former), await databasesIn(present)];
  const lost = [...before].find((oid) => !now.has(oid));
  return lost === undefined ? null : `it lacks the database with oid ${lost}`;
}

async function databasesIn(directory: string): Promise<ReadonlySet<number>> {
  const names = await readdir(`${directory}/base`);
  return new Set(
    names
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((oid) => oid >= FIRST_USER_OID),
  );
}
