/**
 * `rollback --snapshot=…`: returns a cluster on ZFS to a snapshot of its file system: prints a plan first, destroys
 * nothing, keeps its archive usable.
 */
import { formatLocalSeconds } from "../../base/clock";
import { fail } from "../../base/errors";
import { loadControlFile } from "../../postgres/controlFile";
import { type ServerControl, serverControl } from "../../operations/recover/control";
import { accountOf, type HostFacts, loadHostFacts } from "../../operations/recover/hostFacts";
import { remember, serverLogPath, serverMemory } from "../../operations/recover/recoveryJournal";
import { JournalFile } from "../../operations/recover/journalFile";
import { planRollback, type RollbackInput, rollbackText } from "../../operations/rollback/rollbackPlan";
import {
  type BegunRollback,
  readRollbackJournal,
  type RollbackJournal,
  rollBack,
} from "../../operations/rollback/rollback";
import { Zfs } from "../../operations/rollback/zfs";
import { agreed, refused } from "./agree";
import type { ClusterAccess, Command, CommandProcess, Invocation } from "../../process/commandProcess";
import { toolsOf } from "./recoverTools";

export const rollbackCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const snapshot = config.recover.snapshot ?? "";
  const [name, , more] = snapshot.split("@");
  if (name === undefined || name === "" || !snapshot.includes("@") || more !== undefined) {
    throw fail("optionInvalidValue", `'${snapshot}' is not the name of a snapshot`, {
      hint: "zfs list -t snapshot shows them: tank/postgresql@autosnap_…",
    });
  }
  const zfs = new Zfs((args) => proc.program(["zfs", ...args], { signal: ctx.signal }));
  const begun = await findJournal(proc, name, zfs);
  if (begun !== null && begun.journal.snapshot !== snapshot) {
    throw fail("optionInvalid", `a rollback to '${begun.journal.snapshot}' is not finished (${begun.file.path})`, {
      hint: "Finish it first, with its --snapshot.",
    });
  }
  const ready = begun ?? (await plan(proc, snapshot, name, zfs));
  const { journal } = ready;
  if (config.dryRun) return 0;
  if (!(await agreed(proc, begun === null ? "Roll back as planned?" : "Continue the unfinished rollback?")))
    return refused(proc, "rollback");
  const tools = toolsOf(proc, journal.account);
  const opened = await rollBack(ready, zfs, tools, ctx);
  const check = await tools.self(["check", "--no-full-check"], ctx.signal);
  const { dataset, kept, keptMountPoint, mountPoint } = journal.plan;
  proc.print(
    [
      `The server of ${journal.dataDirectory} is open as of ${snapshot}, on timeline ${opened.timeline}.`,
      `The old data:         ${kept}, mounted at ${keptMountPoint}`,
      "Next, take a backup:   pgbackstop backup --type=full   (the new timeline has no backup yet)",
      `When the data are right, remove the old ones by hand:  zfs destroy -r ${kept}`,
      "To undo the rollback, stop the server, then:",
      `     zfs rename ${dataset} ${dataset}.rolled-back && zfs set mountpoint=${mountPoint}.rolled-back ${dataset}.rolled-back`,
      `     zfs rename ${kept} ${dataset} && zfs set mountpoint=${mountPoint} ${dataset}`,
      "  and start it. Restores on this host follow its timeline; elsewhere they ask which one",
      ...(check.exitCode === 0 ? [] : ["! Not every repository gets WAL: see above, and run pgbackstop check"]),
      "",
    ].join("\n"),
  );
  return check.exitCode;
};

/**
 * Mid-rollback, the dataset may not exist under its own name. A non-root user's journal is next to the mount point, so
 * search pg1-path and its parents.
 */
async function findJournal(proc: Invocation & ClusterAccess, dataset: string, zfs: Zfs): Promise<BegunRollback | null> {
  const directories = (await zfs.exists(dataset)) ? [(await zfs.dataset(dataset)).mountPoint] : [];
  for (
    let directory = proc.dataDirectory;
    directory.length > 1;
    directory = directory.slice(0, Math.max(1, directory.lastIndexOf("/")))
  )
    directories.push(directory);
  for (const directory of directories) {
    const file = journalOf(dataset, directory);
    const journal = readRollbackJournal(file);
    if (journal === null) continue;
    const facts = remember(await loadHostFacts(proc.dataDirectory, proc.ctx), journal.server);
    return { journal, file, control: controlOf(proc, facts, journal.plan.mountPoint) };
  }
  return null;
}

function journalOf(dataset: string, mountPoint: string): JournalFile {
  return new JournalFile("rollback", dataset, `${mountPoint}.rollback.json`);
}

function controlOf(proc: Invocation, facts: HostFacts, mountPoint: string): ServerControl {
  return serverControl(facts, proc.config.settings.postgres ?? {}, serverLogPath(mountPoint));
}

async function plan(proc: CommandProcess, snapshot: string, name: string, zfs: Zfs): Promise<BegunRollback> {
  const { config, ctx } = proc;
  const dataset = await zfs.dataset(name);
  const facts = await loadHostFacts(proc.dataDirectory, ctx);
  const inside = facts.dataDirectory.slice(dataset.mountPoint.length);
  const within = `${dataset.mountPoint}/.zfs/snapshot/${snapshot.slice(name.length + 1)}${inside}`;
  const nowMs = ctx.clock.nowMs();
  const input: RollbackInput = {
    snapshot,
    stanza: config.stanza ?? "",
    facts,
    dataset,
    snapshots: await zfs.snapshots(name),
    snapshotSystemId: await loadControlFile(within, ctx).then(
      ({ control }) => String(control.systemId),
      () => null,
    ),
    stamp: formatLocalSeconds(nowMs).replaceAll(/[-:]/g, "").replace(" ", "-"),
  };
  const planned = planRollback(input);
  const control = controlOf(proc, facts, dataset.mountPoint);
  const journal: RollbackJournal = {
    version: 2,
    snapshot,
    startedAtS: Math.floor(nowMs / 1000),
    dataDirectory: facts.dataDirectory,
    account: accountOf(facts, proc.users.findUid, proc.users.findGid),
    server: serverMemory(facts),
    plan: planned,
  };
  proc.print(rollbackText(planned, input, control));
  return { journal, file: journalOf(name, dataset.mountPoint), control };
}
