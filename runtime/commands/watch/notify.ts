/**
 * `notify`: tells people and services what has happened to a unit, or how a fire drill went; systemd's `OnFailure` starts it.
 *
 * Each target is tried by itself. The exit code says what arrived: 0 for all of them, 104 when some did not, and it is nobody's business but this
 * command's: units call it so that no backup fails with it. Lines of the log are not sent, they may hold anything; what is sent says how to read them.
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
    // With a unit of its own for this process, only the manager knows the one that is meant.
    facts: monitored?.facts ?? (name === "" ? null : await host.machine.showUnit(name)) ?? (event === "failure" ? null : ownUnit(environment)),
    drill: event === "drill" ? await newestDrill(config, name === "" ? 0 : ctx.clock.nowMs() / 1000 - JUST_ENDED_S) : null,
    atMs: ctx.clock.nowMs(),
  });
  const deliveries = await deliver(targets, notification, { readFile: (path) => host.readFile(path) }, ctx);
  for (const { error, target } of deliveries) if (error === null) ctx.log.info(`${target}: told '${notification.title}'`);
  const failed = deliveries.flatMap(({ error, target }) => (error === null ? [] : [`${target}: [${error.name}] ${error.message}`]));
  if (deliveries.length === 0) ctx.log.info(`no target asks for '${event}'${name === "" ? "" : ` of ${name}`}`);
  if (failed.length === 0) return 0;
  throw fail("command", `${failed.length} of ${deliveries.length} notification(s) did not arrive:\n${failed.join("\n")}`, {
    hint: "pgbackstop notify --event=test tries every target.",
  });
};

/** @throws fileMissing (55), config (27), optionRequired (37) without a place to look at */
async function loadTargets(host: Invocation & MachineAccess): Promise<readonly NotifyTarget[]> {
  const credentialsDirectory = host.machine.environment["CREDENTIALS_DIRECTORY"];
  const path = host.config.monitoring.notifyFile ?? (credentialsDirectory === undefined ? undefined : `${credentialsDirectory}/notify.json`);
  if (path === undefined) {
    throw fail("optionRequired", "notify command requires option: notify-file", {
      hint: "a unit with LoadCredential=notify.json needs none: its file is found by itself.",
    });
  }
  const bytes = await host.readFile(path);
  if (bytes === null) throw fail("fileMissing", `missing notify file '${path}'`, { path, hint: "docs/monitoring.md has an example of it." });
  return parseTargets(Buffer.from(bytes).toString("utf8"), path);
}

/** What is told of a unit has just ended: an older record is that of another run, and this one came to none. */
const JUST_ENDED_S = 900;

async function newestDrill({ spoolPath, stanza }: Config, sinceS: number): Promise<NotificationInput["drill"]> {
  const record = (await loadLocalDrills(spoolPath, stanza ?? "")).at(-1);
  return record === undefined || record.endedAtS < sinceS ? null : drillNotice(record);
}
