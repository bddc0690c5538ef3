/**
 * Notifies about a scheduled Job: its beginning, its end, and the result of its fire drill. The targets are those of
 * the verb `notify`, from a Secret mounted as a file. Notifications never make a Job fail; only its own end waits for
 * them.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import type { Invocation, MachineAccess } from "../../process/commandProcess";
import { deliver } from "../../notify/deliver";
import type { NotifyEvent } from "../../notify/events";
import { notificationOf } from "../../notify/message";
import { type NotifyTarget, parseTargets } from "../../notify/targets";
import type { DrillRecord } from "../../operations/drill/record";
import { drillNotice } from "../../operations/drill/drillReport";

export interface JobEnd {
  readonly code: number;
  readonly record?: DrillRecord;
}

/** @param cluster whose Job this is. @returns the work's exit code; @throws the work's error */
export async function notifyOfJob(
  proc: Invocation & MachineAccess,
  cluster: string,
  ctx: Context,
  work: () => Promise<JobEnd>,
): Promise<number> {
  const targets = await loadTargets(proc, ctx);
  const notify = (event: NotifyEvent, code: number, record?: DrillRecord): Promise<void> =>
    // The Job got the signal to end: its owner knows and waits.
    targets.length === 0 || ctx.signal.aborted
      ? Promise.resolve()
      : send(proc, cluster, targets, { event, code, record }, ctx);
  const begun = notify("start", 0);
  try {
    const { code, record } = await work();
    // An end reported before the beginning would look like a Job that never ends.
    await begun;
    await Promise.all([
      notify(code === 0 ? "success" : "failure", code),
      ...(record === undefined ? [] : [notify("drill", code, record)]),
    ]);
    return code;
  } catch (error) {
    await begun;
    await notify("failure", toBackupError(error).exitCode);
    throw error;
  }
}

/** Empty without targets or with an unusable Secret. */
async function loadTargets(
  { config, readFile }: Invocation & MachineAccess,
  ctx: Context,
): Promise<readonly NotifyTarget[]> {
  const path = config.monitoring.notifyFile;
  if (path === undefined) return [];
  try {
    const bytes = await readFile(path);
    if (bytes !== null) return parseTargets(Buffer.from(bytes).toString("utf8"), path, (text) => ctx.log.warn(text));
    ctx.log.warn(`no notification of this Job: '${path}' does not exist`);
  } catch (error) {
    ctx.log.warn(`no notification of this Job: ${toBackupError(error).message}`);
  }
  return [];
}

interface JobEvent {
  readonly event: NotifyEvent;
  readonly code: number;
  readonly record: DrillRecord | undefined;
}

async function send(
  proc: Invocation & MachineAccess,
  cluster: string,
  targets: readonly NotifyTarget[],
  { code, event, record }: JobEvent,
  ctx: Context,
): Promise<void> {
  const { config, machine } = proc;
  const { JOB_NAME: job = "", JOB_NAMESPACE: namespace = "", JOB_UID: uid = "" } = machine.environment;
  const notification = notificationOf({
    event,
    stanza: config.stanza ?? cluster,
    // The same for every run: a success closes the alert of a failure.
    host: namespace === "" ? cluster : `${namespace}/${cluster}`,
    unit: config.monitoring.unit ?? "",
    facts: {
      result: code === 0 ? "success" : "exit-code",
      status: String(code),
      invocationId: uid.replaceAll("-", ""),
    },
    whereToLook: job === "" ? [] : [`log: kubectl logs ${namespace === "" ? "" : `-n ${namespace} `}job/${job}`],
    drill: record === undefined ? null : drillNotice(record),
    atMs: ctx.clock.nowMs(),
  });
  const deliveries = await deliver(targets, notification, { readFile: (path) => proc.readFile(path) }, ctx);
  for (const { error, target } of deliveries)
    if (error === null) ctx.log.info(`${target}: sent '${notification.title}'`);
    else ctx.log.warn(`${target}: unable to send '${notification.title}': [${error.name}] ${error.message}`);
}
