/**
 * `notify`: sends the result of a unit or of a fire drill to people and services; systemd's `OnFailure` starts it.
 *
 * Targets are independent. Exit 0 when all got it, 104 when some did not; units ignore the code, so that no backup
 * fails because of it. Log lines are never sent, because they may contain anything: the message says how to read them.
 */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import type { Config } from "../../config/types";
import { monitoredUnit, ownUnit, type UnitFacts } from "../../local/systemdUnit";
import { deliver, interested } from "../../notify/deliver";
import { type Notification, notificationOf, type NotificationInput } from "../../notify/message";
import { type NotifyTarget, parseTargets } from "../../notify/targets";
import { loadLocalDrills } from "../../operations/drill/history";
import { DRILL_KINDS } from "../../operations/drill/record";
import { drillNotice } from "../../operations/drill/drillReport";
import type { Command, Invocation, MachineAccess } from "../../process/commandProcess";

export const notifyCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const { event = "failure", unit } = config.monitoring;
  const targets = await loadTargets(proc);
  const { environment, hostName } = proc.machine;
  const monitored = monitoredUnit(environment);
  const name = unit ?? monitored?.unit ?? "";
  // With a unit of its own for this process, only systemd knows the unit that is meant.
  const meant = monitored?.facts ?? (name === "" ? null : await proc.machine.showUnit(name));
  const notification = notificationOf({
    event,
    stanza: config.stanza ?? "",
    host: hostName,
    unit: name,
    facts: meant ?? (event === "failure" ? null : ownUnit(environment)),
    drill: event === "drill" ? await findDrill(config, name, meant, ctx) : null,
    atMs: ctx.clock.nowMs(),
  });
  await send(proc, targets, notification);
  return 0;
};

/** @throws command (104) if a target was not reached */
async function send(
  proc: Invocation & MachineAccess,
  targets: readonly NotifyTarget[],
  notification: Notification,
): Promise<void> {
  const { ctx } = proc;
  const deliveries = await deliver(targets, notification, { readFile: (path) => proc.readFile(path) }, ctx);
  for (const { error, target } of deliveries)
    if (error === null) ctx.log.info(`${target}: sent '${notification.title}'`);
  const failed = deliveries.flatMap(({ error, target }) =>
    error === null ? [] : [`${target}: [${error.name}] ${error.message}`],
  );
  if (deliveries.length === 0)
    ctx.log.info(
      `no target subscribes to '${notification.event}'${notification.unit === "" ? "" : ` of ${notification.unit}`}`,
    );
  if (failed.length === 0) return;
  throw fail(
    "command",
    `${failed.length} of ${deliveries.length} notification(s) were not delivered:\n${failed.join("\n")}`,
    { hint: "Test every target: pgbackstop notify --event=test" },
  );
}

/**
 * `check --stale`: sends what is too old. Only Alertmanager gets the news that nothing is: it ends the alert. Without
 * targets nothing is sent.
 * @param lines `repo1: …`, empty when everything is recent
 * @throws command (104) if a target was not reached, or none subscribes to what is too old: the unit must then fail
 */
export async function notifyStale(proc: Invocation & MachineAccess, lines: readonly string[]): Promise<void> {
  const { config, ctx, machine } = proc;
  const all = await findTargets(proc);
  if (all === null) return;
  const targets = all.filter(({ type }) => lines.length > 0 || type === "alertmanager");
  if (lines.length === 0 && targets.length === 0) return;
  const { JOB_NAME: job = "", JOB_NAMESPACE: namespace = "" } = machine.environment;
  const stanza = config.stanza ?? "";
  const notification = notificationOf({
    event: "stale",
    stanza,
    // Pods have another name in each run: the alert would never end.
    host: namespace === "" ? machine.hostName : `${namespace}/${stanza}`,
    unit: config.monitoring.unit ?? "",
    facts: null,
    stale: lines,
    drill: null,
    atMs: ctx.clock.nowMs(),
    ...(job === "" ? {} : { whereToLook: [`log: kubectl logs -n ${namespace} job/${job}`] }),
  });
  if (lines.length > 0 && interested(targets, notification).length === 0) {
    const of = notification.unit === "" ? "" : ` of ${notification.unit}`;
    throw fail(
      "command",
      `no target subscribes to '${notification.event}'${of}, so nobody was notified:\n${lines.join("\n")}`,
      {
        hint: `Add "${notification.event}" to the events of a target, and the unit to its units if it has some.`,
      },
    );
  }
  await send(proc, targets, notification);
}

/** @throws fileMissing (55), config (27), optionRequired (37) without a location to look at */
async function loadTargets(proc: Invocation & MachineAccess): Promise<readonly NotifyTarget[]> {
  const path = targetsPath(proc);
  if (path === undefined) {
    throw fail("optionRequired", "notify command requires option: notify-file", {
      hint: "A unit with LoadCredential=notify.json does not need it.",
    });
  }
  const targets = await findTargets(proc);
  if (targets === null)
    throw fail("fileMissing", `missing notify file '${path}'`, { path, hint: "docs/notifications.md has an example." });
  return targets;
}

/** Null without a file. */
async function findTargets(proc: Invocation & MachineAccess): Promise<readonly NotifyTarget[] | null> {
  const path = targetsPath(proc);
  const bytes = path === undefined ? null : await proc.readFile(path);
  if (path === undefined || bytes === null) return null;
  return parseTargets(Buffer.from(bytes).toString("utf8"), path, (text) => proc.ctx.log.warn(text));
}

function targetsPath({ config, machine }: Invocation & MachineAccess): string | undefined {
  const credentialsDirectory = machine.environment["CREDENTIALS_DIRECTORY"];
  const usual = credentialsDirectory === undefined ? undefined : `${credentialsDirectory}/notify.json`;
  return config.monitoring.notifyFile ?? usual;
}

/** A record without a run's id that is older than this belongs to an earlier run. */
const JUST_ENDED_S = 900;

/**
 * The record of this run of the unit: another drill may have ended in the meantime, while this one died without a
 * record. Without a unit the newest one.
 */
async function findDrill(
  { spoolPath, stanza }: Config,
  unit: string,
  meant: UnitFacts | null,
  { clock }: Context,
): Promise<NotificationInput["drill"]> {
  const records = await loadLocalDrills(spoolPath, stanza ?? "", DRILL_KINDS);
  const run = meant?.invocationId ?? "";
  const sinceS = unit === "" ? 0 : clock.nowMs() / 1000 - JUST_ENDED_S;
  const record = run === "" ? records.at(-1) : records.findLast(({ invocationId }) => invocationId === run);
  return record === undefined || (run === "" && record.endedAtS < sinceS) ? null : drillNotice(record);
}
