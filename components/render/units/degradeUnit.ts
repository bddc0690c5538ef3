/**
 * Ends the wait of commits when no agent runs: `pgbackstop-main-degrade.service`, only with `degradeAfterSeconds`. A
 * running agent does this itself (runtime/archiver/synchronousGuard.ts).
 *
 * An agent that cannot start may lack its keys, its configuration, its program or Node, so this needs none of them: a
 * shell script asks PostgreSQL with one session of psql. The session stays open, because commits that wait may use up
 * all connections.
 *
 * Two processes write one setting. The script waits {@link EXTRA_SECONDS} longer than an agent and acts only while no
 * receiver is connected, so a living agent writes first; both write the same successor of a value. An agent that slept
 * through the script's change sets the name again as after a restart. Pure.
 */
import type { HostPlan } from "../../plan/model/plan";
import { shellArgument } from "../../plan/host/hostCommand";
import { systemdArgument } from "../host/commandLine";
import { madeFile, type RenderedFile } from "../host/renderedFile";
import { hardening } from "./hardening";
import { madeUnit, type Unit, UNIT_HEAD, unitName, unitText } from "./unit";

const TICK_SECONDS = 2;
const EXTRA_SECONDS = 10;
/** A receiver answers at least every ten seconds (runtime/postgres/walStream.ts); one that hangs does not. */
const SILENT_SECONDS = 20;

/**
 * One look, for psql. `names` is the setting without the receiver, of the texts that an agent writes
 * (runtime/operations/stream/standbyNames.ts), and null for every other text.
 */
const LOOK = `select next.names, case when pg_is_in_recovery() or next.names is null or exists (
  select from pg_catalog.pg_stat_replication where lower(application_name) = 'pgbackstop'
    and coalesce(reply_time, backend_start) > clock_timestamp() - interval '${SILENT_SECONDS} seconds'
) then 0 else :missed + 1 end as missed
from (select current_setting('synchronous_standby_names') as value) as now
cross join lateral (select regexp_match(value, '^(FIRST|ANY) ([0-9]+) [(]pgbackstop, (.+)[)]$') as others) as found
cross join lateral (select case
  when value = 'pgbackstop' then ''
  when others[2]::int > 1 then others[1] || ' ' || (others[2]::int - 1) || ' (' || others[3] || ')'
end as names) as next \\gset
select :missed * ${TICK_SECONDS} >= :seconds + ${EXTRA_SECONDS} as due \\gset
\\if :due
\\echo '<4>commits no longer wait for the repositories: no agent has answered for' :seconds 'seconds'
select case when :'names' = '' and sourcefile like '%postgresql.auto.conf' then 'alter system reset synchronous_standby_names'
  else format('alter system set synchronous_standby_names = %L', :'names') end
from pg_catalog.pg_settings where name = 'synchronous_standby_names' \\gexec
select pg_reload_conf() \\g /dev/null
\\set missed 0
\\endif`;

/** Null if commits never stop waiting. */
export function degradeFile(plan: HostPlan): RenderedFile | null {
  const seconds = limitOf(plan);
  if (seconds === null) return null;
  return madeFile(pathOf(plan), ["0755", "admin"], () => scriptOf(plan, seconds));
}

/** Empty if commits never stop waiting. */
export function degradeUnits(plan: HostPlan): Unit[] {
  if (limitOf(plan) === null) return [];
  const text = (): string =>
    unitText([
      UNIT_HEAD,
      "[Unit]",
      `Description=pgbackstop: commits of stanza ${plan.stanza} stop waiting when no agent answers`,
      "After=postgresql.service",
      "StartLimitIntervalSec=0",
      "",
      "[Service]",
      "Type=exec",
      `User=${plan.user}`,
      `ExecStart=${systemdArgument(pathOf(plan))}`,
      "Restart=always",
      "RestartSec=10",
      ...hardening(plan, { staysUp: true }),
      "",
      "[Install]",
      "WantedBy=multi-user.target",
    ]);
  return [madeUnit(`${unitName(plan.stanza, "degrade")}.service`, text, { enabled: true, restarted: true })];
}

function limitOf({ agent, drillsOnly, synchronous }: HostPlan): number | null {
  return agent && !drillsOnly ? (synchronous?.degradeAfterSeconds ?? null) : null;
}

function pathOf({ directories, stanza }: HostPlan): string {
  return `${directories.lib}/degrade-${stanza}`;
}

function scriptOf(plan: HostPlan, seconds: number): string {
  const { databaseUser, dataDirectory, options, port, socketDirectory } = plan;
  const database = options["pg1-database"];
  const given = [
    ...(databaseUser === undefined ? [] : ["-U", databaseUser]),
    ...(typeof database === "string" ? ["-d", database] : ["-d", "postgres"]),
  ];
  const socket =
    socketDirectory === undefined
      ? `$(sed -n 5p ${shellArgument(`${dataDirectory}/postmaster.pid`)} 2>/dev/null)`
      : shellArgument(socketDirectory);
  return `#!/bin/sh
${UNIT_HEAD}
# Ends the wait of commits for stanza ${plan.stanza} when no agent has answered for ${seconds} seconds. It needs psql and nothing else of pgbackstop.
set -u
PATH="$PATH:/run/current-system/sw/bin"
socket=${socket}
look() {
  cat <<'SQL'
${LOOK}
SQL
}
# psql ends when the server does, and the unit starts this again.
{ echo '\\set missed 0' && while look; do sleep ${TICK_SECONDS}; done; } |
  psql -XAtq -v ON_ERROR_STOP=1 -v seconds=${seconds} -h "\${socket:-/var/run/postgresql}" -p ${port} ${given.map(shellArgument).join(" ")}
`;
}
