/**
 * The agent of a stanza and its socket. The socket stays while the agent is restarted or killed: the kernel queues
 * PostgreSQL's requests in the meantime. Neither ever gives up: a failed socket would refuse every segment until
 * somebody intervened. PostgreSQL's first request starts the agent, and the boot does if it streams or reads a slot:
 * until then commits would be without their stream, or wait for it and so never fill the segment that PostgreSQL
 * requests.
 */
import { readOr } from "../../plan/model/deferred";
import { slotOf } from "../../plan/model/hostDefaults";
import type { HostPlan } from "../../plan/model/plan";
import { agentSocket } from "../host/commandLine";
import { credentialLines, reportLines, unitCommand } from "../host/systemdCredentials";
import { serverUnit } from "./containerRights";
import { hardening } from "./hardening";
import { ALLOCATOR_LINES, madeUnit, type Unit, UNIT_HEAD, unitName, unitText } from "./unit";

/**
 * Debian's postgresql.service only stands for its clusters. These are in a slice, which a shutdown stops after them. An
 * agent that a boot starts leaves it out: PostgreSQL would wait for the network with it. The clusters' own units are
 * not named: systemd would not start the agent that stores the last segment of one that restarts.
 */
const SERVERS = ["postgresql.service", "system-postgresql.slice"];

/** Empty without an agent, or if only drills get the keys. */
export function agentUnits(plan: HostPlan): Unit[] {
  if (!plan.agent || plan.drillsOnly) return [];
  const name = unitName(plan.stanza, "agent");
  return [
    madeUnit(`${name}.service`, () => renderService(plan), { enabled: startsAtBoot(plan), restarted: true }),
    madeUnit(`${name}.socket`, () => renderSocket(plan), { enabled: true }),
  ];
}

/** Nothing at PostgreSQL starts an agent that reads a slot. */
function startsAtBoot(plan: HostPlan): boolean {
  return readOr(() => slotOf(plan) !== undefined || plan.streamIntervalSeconds !== undefined, true);
}

function renderService(plan: HostPlan): string {
  return unitText([
    UNIT_HEAD,
    "[Unit]",
    `Description=pgbackstop agent of stanza ${plan.stanza}`,
    `After=network-online.target remote-fs.target${plan.container === undefined ? "" : ` ${serverUnit(plan)}`}`,
    // With its socket: the agent would otherwise make one of its own.
    `Wants=network-online.target${startsAtBoot(plan) ? ` ${unitName(plan.stanza, "agent")}.socket` : ""}`,
    // Stopped after PostgreSQL, whose last segment it archives. A slot keeps a container's.
    ...(plan.container === undefined ? [`Before=${SERVERS.slice(0, startsAtBoot(plan) ? 1 : 2).join(" ")}`] : []),
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    "Type=exec",
    `User=${plan.user}`,
    ...ALLOCATOR_LINES,
    `ExecStart=${unitCommand(plan, ["agent", ...(plan.metricsListen === undefined ? [] : [`--metrics-listen=${plan.metricsListen}`])])}`,
    ...credentialLines(plan),
    ...reportLines(plan),
    "Restart=always",
    "RestartSec=1",
    // It finishes running requests within eight seconds.
    "TimeoutStopSec=20",
    ...hardening(plan, { staysUp: true }),
    ...(startsAtBoot(plan) ? ["", "[Install]", "WantedBy=multi-user.target"] : []),
  ]);
}

function renderSocket(plan: HostPlan): string {
  return unitText([
    UNIT_HEAD,
    "[Unit]",
    `Description=pgbackstop socket of stanza ${plan.stanza}: PostgreSQL's archive commands`,
    `Before=${SERVERS.join(" ")}`,
    "",
    "[Socket]",
    `ListenStream=${agentSocket(plan).replaceAll("%", "%%")}`,
    `SocketUser=${plan.user}`,
    "SocketMode=0600",
    "RemoveOnStop=yes",
    "TriggerLimitIntervalSec=0",
    "",
    "[Install]",
    "WantedBy=sockets.target",
  ]);
}
