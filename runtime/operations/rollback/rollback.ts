/**
 * `rollback` after the plan is confirmed. Each step checks whether it is done, so an interrupted run starts again with
 * the same journal.
 */
import { rm } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import type { Journal } from "../recover/recoveryJournal";
import type { JournalFile } from "../recover/journalFile";
import { askForNewTimeline, forgetNewTimeline } from "../recover/newTimeline";
import { historyCommands, type RecoverTools, type Served, startServer, stopServer } from "../recover/recover";
import type { Opened } from "../recover/steps";
import type { RollbackPlan } from "./rollbackPlan";
import type { Zfs } from "./zfs";

/** Stored outside the file system, whose content goes back. Like a recovery's journal, it holds no command. */
export interface RollbackJournal
  extends Pick<Journal, "account" | "dataDirectory" | "server" | "startedAtS" | "version"> {
  readonly snapshot: string;
  readonly plan: RollbackPlan;
}

/** @throws format (29), fileOwner (88) */
export function readRollbackJournal(file: JournalFile): RollbackJournal | null {
  const journal = file.read(() => false);
  if (journal === null) return null;
  if ((journal as { readonly version?: unknown }).version === 2) return journal as RollbackJournal;
  throw fail("format", `'${file.path}' is not a rollback journal that this version can read`, {
    path: file.path,
    hint: "Compare it with zfs list, then remove it.",
  });
}

export interface BegunRollback {
  readonly journal: RollbackJournal;
  readonly file: JournalFile;
  readonly control: Served["control"];
}

export async function rollBack(
  { control, file, journal }: BegunRollback,
  zfs: Zfs,
  tools: RecoverTools,
  ctx: Context,
): Promise<Opened> {
  const { account, dataDirectory, plan } = journal;
  const served: Served = { control, dataDirectory };
  await file.write(journal);
  if (!(await zfs.exists(plan.kept))) {
    ctx.log.info("rollback: stopping the server");
    await stopServer(served, tools, ctx);
    if (!(await zfs.exists(plan.safety))) await zfs.snapshot(plan.safety);
    ctx.log.info(`rollback: the old data are now in ${plan.kept}`);
    await zfs.rename(plan.dataset, plan.kept);
  }
  if (!(await zfs.exists(plan.dataset))) {
    await zfs.setMountPoint(plan.kept, plan.keptMountPoint);
    ctx.log.info(`rollback: cloning ${plan.snapshotName}`);
    await zfs.clone(`${plan.kept}@${plan.snapshotName}`, plan.dataset, {
      ...plan.properties,
      mountpoint: plan.mountPoint,
    });
  }
  if ((await zfs.origin(plan.dataset)) !== null) await zfs.promote(plan.dataset);
  // Of the server at the time of the snapshot; its process id may belong to another process now.
  await stopServer(served, tools, ctx);
  const commands = await historyCommands(tools, ctx);
  await tools.asAccount(async () => {
    await rm(`${dataDirectory}/postmaster.pid`, { force: true });
    await askForNewTimeline(dataDirectory, commands, account);
  });
  ctx.log.info("rollback: starting the server on a new timeline");
  const opened = await startServer(served, tools, ctx);
  await tools.asAccount(() => forgetNewTimeline(dataDirectory, account));
  await file.remove();
  return opened;
}
