/** `rollback`, once its plan is agreed to. Each step looks whether it was done: a run that was killed is begun anew with the same journal. */
import { readFile, rm, unlink } from "node:fs/promises";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { atomicWrite } from "../../local/atomicWrite";
import type { ServerControl } from "../recover/control";
import type { Owner } from "../recover/hostFacts";
import { askForNewTimeline, forgetNewTimeline } from "../recover/newTimeline";
import { type RecoverTools, startServer, stopServer } from "../recover/recover";
import type { Opened } from "../recover/steps";
import type { RollbackPlan } from "./plan";
import type { Zfs } from "./zfs";

/** Beside the mount point: what is in the file system goes back with it. */
export interface RollbackJournal {
  readonly version: 1;
  readonly snapshot: string;
  readonly startedAtS: number;
  readonly dataDirectory: string;
  readonly account: Owner;
  readonly control: ServerControl;
  readonly plan: RollbackPlan;
}

export async function readRollbackJournal(path: string): Promise<RollbackJournal | null> {
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null) return null;
  try {
    const journal = JSON.parse(text) as RollbackJournal;
    if (journal.version === 1) return journal;
  } catch {
    // Told below.
  }
  throw fail("format", `'${path}' is no journal of a rollback that this version knows`, { path, hint: "look at it and at zfs list, and remove it." });
}

export async function rollBack(journal: RollbackJournal, path: string, zfs: Zfs, tools: RecoverTools, ctx: Context): Promise<Opened> {
  const { account, dataDirectory, plan } = journal;
  await atomicWrite(path, Buffer.from(`${JSON.stringify(journal, null, 2)}\n`), { mode: 0o600 });
  if (!(await zfs.exists(plan.kept))) {
    ctx.log.info("rollback: stopping the server");
    await stopServer(journal, tools, ctx);
    if (!(await zfs.exists(plan.safety))) await zfs.snapshot(plan.safety);
    ctx.log.info(`rollback: the old data are ${plan.kept} from now on`);
    await zfs.rename(plan.dataset, plan.kept);
  }
  if (!(await zfs.exists(plan.dataset))) {
    await zfs.setMountPoint(plan.kept, plan.keptMountPoint);
    ctx.log.info(`rollback: cloning ${plan.snapshotName}`);
    await zfs.clone(`${plan.kept}@${plan.snapshotName}`, plan.dataset, { ...plan.properties, mountpoint: plan.mountPoint });
  }
  if ((await zfs.origin(plan.dataset)) !== null) await zfs.promote(plan.dataset);
  // Of the server that ran when the snapshot was taken; its process id may be somebody else's now.
  await stopServer(journal, tools, ctx);
  await rm(`${dataDirectory}/postmaster.pid`, { force: true });
  ctx.log.info("rollback: starting the server on a new timeline");
  await askForNewTimeline(dataDirectory, tools.archiveGet, account);
  const opened = await startServer(journal, tools, ctx);
  await forgetNewTimeline(dataDirectory, account);
  await unlink(path);
  return opened;
}
