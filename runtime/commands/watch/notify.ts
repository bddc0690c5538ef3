/**
 * `notify`: sends the result of a unit or of a fire drill to people and services; systemd's `OnFailure` starts it.
 *
 * Targets are independent. Exit 0 when all got it, 104 when some did not; units ignore the code, so that no backup
 * fails because of it. Log lines are never sent, because they may contain anything: the message says how to read them.
 */
import { fail } from "../../base/errors";
import type { Config } from "../../config/types";
import { monitoredUnit, ownUnit } from "../../local/systemdUnit";
import { deliver } from "../../notify/deliver";
import { notificationOf, type NotificationInput } from "../../notify/message";
import { type NotifyTarget, parseTargets } from "../../notify/targets";
import { loadLocalDrills } from "../../operations/drill/history";
import { drillNotice } from "../../operations/drill/drillReport";
import type { Command, Invocation, MachineAccess } from "../host";

export const notifyCommand: Command = async (host) => {
  const { config, ctx } = host;
  const { event = "failure", unit } = config.monitoring;
  const targets = await loadTargets(host);
  const { environment, hostName } = host.machine;
  const monitored = monitoredUnit(environment);
  const name = unit ?? monitored?.unit ?? "";
  const notification = notificationOf({
    event,
    stanza: config.stanza ?? "",
    host: hostName,
    unit: name,
    // With a unit of its own for this process, only systemd knows the unit that is meant.
    facts:
      monitored?.facts ??
      (name === "" ? null : await host.machine.showUnit(name)) ??
      (event === "failure" ? null : ownUnit(environment)),
    drill:
      event === "drill" ? await newestDrill(config, name === "" ? 0 : ctx.clock.nowMs() / 1000 - JUST_ENDED_S) : null,
    atMs: ctx.clock.nowMs(),
  });
  const deliveries = await deliver(targets, notification, { readFile: (path) => host.readFile(path) }, ctx);
  for (const { error, target } of deliveries)
    if (error === null) ctx.log.info(`${target}: sent '${notification.title}'`);
  const failed = deliveries.flatMap(({ error, target }) =>
    error === null ? [] : [`${target}: [${error.name}] ${error.message}`],
  );
  if (deliveries.length === 0) ctx.log.info(`no target subscribes to '${event}'${name === "" ? "" : ` of ${name}`}`);
  if (failed.length === 0) return 0;
  throw fail(
    "command",
    `${failed.length} of ${deliveries.length} notification(s) were not delivered:\n${failed.join("\n")}`,
    {
      hint: "Test every target: pgbackstop notify --event=test",
    },
  );
};

/** @throws fileMissing (55), config (27), optionRequired (37) without a location to look at */
async function loadTargets(host: Invocation & MachineAccess): Promise<readonly NotifyTarget[]> {
  const credentialsDirectory = host.machine.environment["CREDENTIALS_DIRECTORY"];
  const path =
    host.config.monitoring.notifyFile ??
    (credentialsDirectory === undefined ? undefined : `${credentialsDirectory}/notify.json`);
  if (path === undefined) {
    throw fail("optionRequired", "notify command requires option: notify-file", {
      hint: "A unit with LoadCredential=notify.json does not need it.",
    });
  }
  const bytes = await host.readFile(path);
  if (bytes === null)
    throw fail("fileMissing", `missing notify file '${path}'`, { path, hint: "docs/monitoring.md has an example." });
  return parseTargets(Buffer.from(bytes).toString("utf8"), path);
}

/** The unit has just ended: an older record belongs to an earlier run. */
const JUST_ENDED_S = 900;

async function newestDrill({ spoolPath, stanza }: Config, sinceS: number): Promise<NotificationInput["drill"]> {
  const record = (await loadLocalDrills(spoolPath, stanza ?? "")).at(-1);
  return record === undefined || record.endedAtS < sinceS ? null : drillNotice(record);
}
