/**
 * A unit that reports another one, `…@UNIT.service`: with the file of notification targets, and without the
 * repositories' keys.
 */
import { merged } from "../../plan/model/deferred";
import type { HostPlan } from "../../plan/model/plan";
import { notifyLines, notifyArgs, unitCommand } from "../host/systemdCredentials";
import { hardening } from "./hardening";
import { madeUnit, type Unit, UNIT_HEAD, unitText } from "./unit";

interface Notice {
  /** `%i failed`. */
  readonly title: string;
  /** Waits for these units while they run. */
  readonly after: readonly string[];
  /** `[Service]` lines. */
  readonly lines: () => readonly string[];
  readonly timeoutSeconds: number;
}

/** @param name without `@` */
export function noticeUnit(plan: HostPlan, name: string, { after, lines, timeoutSeconds, title }: Notice): Unit {
  const text = (): string =>
    unitText([
      UNIT_HEAD,
      "[Unit]",
      `Description=pgbackstop notice of stanza ${plan.stanza}: ${title}`,
      `After=${["network-online.target", ...after].join(" ")}`,
      "Wants=network-online.target",
      "",
      "[Service]",
      "Type=oneshot",
      `User=${plan.user}`,
      ...lines(),
      `TimeoutStartSec=${timeoutSeconds}`,
      ...hardening(plan),
    ]);
  return madeUnit(`${name}@.service`, text);
}

/** `[Service]` lines: the verb, by `ExecStart=` or `ExecStart=-`, and the file of notification targets. */
export function noticeLines(plan: HostPlan, event: string, directive: string): string[] {
  return [
    `${directive}${unitCommand(merged(plan, { repositories: [] }), notifyArgs(plan, event))} --unit=%i`,
    ...notifyLines(plan),
  ];
}
