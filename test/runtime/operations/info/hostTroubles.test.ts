import { describe, expect, test } from "vitest";
import type { ServerState } from "../../../../runtime/operations/info/serverState";
import type { StanzaUnit } from "../../../../runtime/local/stanzaUnits";
import { fail } from "../../../../runtime/base/errors";
import { hostReport } from "../../../../runtime/operations/info/hostTroubles";

const NOW_S = Date.UTC(2026, 10, 20, 6, 40, 59) / 1000;
const DAY_S = 86_400;
const UNITS = "/etc/systemd/system";
const COMMAND = "/usr/bin/node /usr/local/lib/pgbackstop/runtime.cjs --config=/etc/pgbackstop/pgbackrest.conf";

function made(purpose: string, more: Partial<StanzaUnit>): StanzaUnit {
  const name = `pgbackstop-main-${purpose}`;
  return {
    name,
    loadState: "loaded",
    activeState: "active",
    subState: "waiting",
    fileState: "enabled",
    result: "success",
    restartCount: 0,
    commands: [],
    starts: "",
    nextAtS: null,
    file: { path: `${UNITS}/${name}`, text: "" },
    dropIns: [],
    ...more,
  };
}

const service = (name: string, args: string, more: Partial<StanzaUnit> = {}): StanzaUnit =>
  made(`${name}.service`, {
    activeState: "inactive",
    subState: "dead",
    fileState: "static",
    commands: [`${COMMAND} --config-include-path=\${CREDENTIALS_DIRECTORY} ${args}`],
    file: {
      path: `${UNITS}/pgbackstop-main-${name}.service`,
      text: `[Service]\nExecStart="/usr/bin/node" ${COMMAND.slice(14)} --config-include-path=\${CREDENTIALS_DIRECTORY} ${args}\n`,
    },
    ...more,
  });
const timer = (name: string, more: Partial<StanzaUnit> = {}): StanzaUnit =>
  made(`${name}.timer`, { starts: `pgbackstop-main-${name}.service`, nextAtS: NOW_S + DAY_S, ...more });

/** A host with an agent that PostgreSQL starts. */
const WELL = [
  service("agent", "agent"),
  made("agent.socket", { subState: "listening" }),
  service("full", "backup --type=full"),
  timer("full"),
  service("verify", "verify"),
  timer("verify"),
  service("degrade", "", { activeState: "active", fileState: "enabled" }),
];

/** The units with a changed or a missing one. */
function troublesWith(changed: StanzaUnit | null, fullWithinS: readonly number[] = [8 * DAY_S], without = "") {
  const units = WELL.flatMap((unit) => (unit.name === without ? [] : [unit.name === changed?.name ? changed : unit]));
  return hostReport({ units, fullWithinS, server: null, backedUpAtS: null, nowS: NOW_S }).troubles;
}
const textsWith = (...args: Parameters<typeof troublesWith>): string[] =>
  troublesWith(...args).map(({ hints, message, name }) => [`[${name}] ${message}`, ...hints].join("\n"));

test("a host whose units systemd runs as they were written has no trouble", () => {
  expect(textsWith(null)).toEqual([]);
  expect(hostReport({ units: WELL, fullWithinS: [], server: null, backedUpAtS: null, nowS: NOW_S })).toEqual({
    troubles: [],
    notLookedAt: [],
  });
  // A running backup: its timer has no next run.
  expect(textsWith(timer("full", { nextAtS: null, subState: "running" }))).toEqual([]);
});

test("without systemd nothing is claimed", () => {
  expect(hostReport({ units: null, fullWithinS: [DAY_S], server: null, backedUpAtS: null, nowS: NOW_S })).toEqual({
    troubles: [],
    notLookedAt: ["units: no systemd (248 or newer) answers for this stanza"],
  });
  expect(hostReport({ units: [], fullWithinS: [DAY_S], server: null, backedUpAtS: null, nowS: NOW_S })).toEqual({
    troubles: [],
    notLookedAt: ["units: systemd has none of this stanza"],
  });
});

describe("a unit that systemd does not run", () => {
  const DOWN = { activeState: "inactive", subState: "dead" };

  test("because it is stopped or disabled", () => {
    expect(textsWith(made("agent.socket", { ...DOWN, fileState: "disabled" }))).toEqual([
      `[ArchiveDisabledError] pgbackstop-main-agent.socket is stopped and disabled: WAL of this host is not archived
systemctl stop pgbackstop-main-agent.service pgbackstop-main-agent.socket; systemctl enable --now pgbackstop-main-agent.socket && systemctl start pgbackstop-main-agent.service`,
    ]);
    expect(textsWith(timer("full", { ...DOWN, nextAtS: null }))).toEqual([
      `[ExecuteError] pgbackstop-main-full.timer is stopped: systemd does not start its service
systemctl enable --now pgbackstop-main-full.timer`,
    ]);
    expect(textsWith(timer("verify", { fileState: "disabled" }))).toEqual([
      `[ExecuteError] pgbackstop-main-verify.timer is disabled: the next boot does not start it
systemctl enable pgbackstop-main-verify.timer`,
    ]);
    // A boot starts the agent: it streams.
    expect(textsWith(service("agent", "agent", { fileState: "enabled" }))).toEqual([
      expect.stringContaining("pgbackstop-main-agent.service is stopped: WAL of this host is not archived"),
    ]);
  });

  test("because it is masked, missing or invalid", () => {
    expect(textsWith(timer("full", { ...DOWN, loadState: "masked", fileState: "masked", nextAtS: null }))).toEqual([
      `[ExecuteError] pgbackstop-main-full.timer is masked: systemd does not start its service
systemctl unmask pgbackstop-main-full.timer && systemctl enable --now pgbackstop-main-full.timer
If systemd does not know it then, the next update of the host (pulumi up) writes its file.`,
    ]);
    expect(textsWith(service("verify", "verify", { loadState: "masked" }))).toEqual([
      expect.stringContaining("pgbackstop-main-verify.service is masked: systemd does not run it"),
    ]);
    expect(textsWith(timer("full", { ...DOWN, loadState: "bad-setting" }))).toEqual([
      expect.stringContaining("pgbackstop-main-full.timer cannot be loaded (bad-setting)"),
    ]);
    for (const missing of ["pgbackstop-main-full.timer", "pgbackstop-main-agent.socket"])
      expect(textsWith(null, [], missing)).toEqual([expect.stringContaining(`${missing} is missing: `)]);
  });

  test("because it has failed, or does not stay", () => {
    expect(textsWith(made("agent.socket", { activeState: "failed", result: "resources" }))).toEqual([
      `[ArchiveDisabledError] pgbackstop-main-agent.socket has failed (resources): WAL of this host is not archived
journalctl -u pgbackstop-main-agent.socket says why. After the repair: systemctl reset-failed pgbackstop-main-agent.socket && systemctl stop pgbackstop-main-agent.service pgbackstop-main-agent.socket; systemctl enable --now pgbackstop-main-agent.socket && systemctl start pgbackstop-main-agent.service`,
    ]);
    const restarting = { activeState: "activating", subState: "auto-restart", result: "exit-code" };
    expect(textsWith(service("agent", "agent", { ...restarting, restartCount: 7 }))).toEqual([
      expect.stringContaining("pgbackstop-main-agent.service was started 7 times and does not stay (exit-code)"),
    ]);
    expect(textsWith(service("agent", "agent", { ...restarting, restartCount: 1 }))).toEqual([]);
    // The age of the backup, or a drill's record, says more.
    expect(textsWith(service("full", "backup --type=full", { activeState: "failed" }))).toEqual([]);
  });
});

describe("a timer that a drop-in moves", () => {
  const path = `${UNITS}/pgbackstop-main-full.timer.d/override.conf`;
  const dropIns = [{ path, text: "[Timer]\nOnCalendar=\nOnCalendar=2099-01-01\n" }];
  const AT_2099 = Date.UTC(2099, 0, 1) / 1000;

  test("to another age, or into the past", () => {
    expect(textsWith(timer("full", { dropIns, nextAtS: AT_2099 }))).toEqual([
      `[ExecuteError] pgbackstop-main-full.timer runs next in 26339 days, at 2099-01-01T00:00:00Z (${path})
rm ${path} && systemctl daemon-reload && systemctl restart pgbackstop-main-full.timer`,
    ]);
    expect(textsWith(timer("full", { dropIns, nextAtS: null, subState: "elapsed" }))).toEqual([
      expect.stringContaining(`pgbackstop-main-full.timer has no next run (${path})`),
    ]);
    // Somebody changed its file.
    expect(textsWith(timer("verify", { nextAtS: AT_2099 }))).toEqual([
      expect.stringContaining("pgbackstop-main-verify.timer runs next in 26339 days"),
    ]);
  });

  test("later than the newest full backup may be old", () => {
    const moved = timer("full", { dropIns, nextAtS: NOW_S + 20 * DAY_S });
    expect(textsWith(moved)).toEqual([
      expect.stringContaining("; a full backup is expected every 8 days (/etc/systemd/"),
    ]);
    for (const limits of [[], [8 * DAY_S, 30 * DAY_S]]) expect(textsWith(moved, limits)).toEqual([]);
  });

  test("as rarely as a declared drill runs is no trouble", () => {
    expect(textsWith(timer("verify", { nextAtS: NOW_S + 364 * DAY_S }))).toEqual([]);
    const other = [{ path, text: "[Timer]\nAccuracySec=1min\n" }];
    expect(textsWith(timer("verify", { nextAtS: NOW_S + 364 * DAY_S, dropIns: other }))).toEqual([]);
  });

  test("to another service", () => {
    const text = "[Timer]\nUnit=true.service\n";
    expect(textsWith(timer("full", { starts: "true.service", dropIns: [{ path, text }] }))).toEqual([
      `[ExecuteError] pgbackstop-main-full.timer starts true.service instead of pgbackstop-main-full.service (${path})
rm ${path} && systemctl daemon-reload && systemctl restart pgbackstop-main-full.timer`,
    ]);
  });
});

describe("a service whose program a drop-in replaces", () => {
  const path = `${UNITS}/pgbackstop-main-full.service.d/override.conf`;
  const dropIns = [{ path, text: "[Service]\nExecStart=\nExecStart=/bin/true\n" }];
  const full = (command: string): StanzaUnit => service("full", "backup --type=full", { dropIns, commands: [command] });

  test("is named with the drop-in", () => {
    expect(textsWith(full("/bin/true"))).toEqual([
      `[ExecuteError] pgbackstop-main-full.service runs /bin/true instead of its command (${path})
rm ${path} && systemctl daemon-reload`,
    ]);
    expect(textsWith(full(`${COMMAND} verify`))).toHaveLength(1);
    expect(textsWith(full(`/bin/echo ${COMMAND} backup --type=full`))).toHaveLength(1);
    const agent = service("agent", "agent", { dropIns, commands: ["/bin/true"] });
    expect(troublesWith(agent)[0]?.hints).toEqual([
      `rm ${path} && systemctl daemon-reload && systemctl restart pgbackstop-main-agent.service`,
    ]);
  });

  test("is no trouble with a further option, or a second command", () => {
    expect(textsWith(full(`${COMMAND} --log-level-console=info backup --type=full`))).toEqual([]);
    const second = [`/bin/logger before`, `${COMMAND} backup --type=full`];
    expect(textsWith(service("full", "backup --type=full", { commands: second }))).toEqual([]);
  });

  test("is also one whose file was changed, and not one whose file cannot be read", () => {
    const file = { path: `${UNITS}/pgbackstop-main-full.service`, text: "[Service]\nExecStart=/bin/true\n" };
    expect(textsWith(service("full", "", { file, commands: ["/bin/true"] }))).toEqual([
      expect.stringContaining(
        "runs /bin/true instead of its command, as /etc/systemd/system/pgbackstop-main-full.service says",
      ),
    ]);
    const unread = { ...file, text: null };
    expect(textsWith(service("full", "", { file: unread, commands: ["/bin/true"] }))).toEqual([]);
    const commandless = { ...file, text: "[Service]\nUser=postgres\n" };
    expect(textsWith(service("full", "", { file: commandless, commands: ["/bin/true"] }))).toEqual([]);
  });
});

describe("the server", () => {
  const UP: ServerState = {
    dataDirectory: "/data",
    hasCluster: true,
    isUp: true,
    archiving: null,
    silence: null,
    seenAtS: null,
    unit: null,
    recovery: null,
  };
  const DOWN: ServerState = { ...UP, isUp: false, seenAtS: NOW_S - 30, unit: "postgresql@17-main.service" };
  const judged = (server: ServerState | string | null) => {
    const { notLookedAt, troubles } = hostReport({
      units: WELL,
      fullWithinS: [],
      server,
      backedUpAtS: null,
      nowS: NOW_S,
    });
    return { notLookedAt, troubles: troubles.map(({ hints, message }) => [message, ...hints]) };
  };

  test("that runs and archives has no trouble", () => {
    for (const server of [UP, null]) expect(judged(server)).toEqual({ notLookedAt: [], troubles: [] });
  });

  test("that archives elsewhere is named with its setting", () => {
    const archiving = fail("archiveDisabled", "archive_mode must be enabled", { hint: "set archive_mode = on" });
    expect(judged({ ...UP, archiving }).troubles).toEqual([["archive_mode must be enabled", "set archive_mode = on"]]);
  });

  test("that does not answer, or cannot be looked at, is claimed neither up nor down", () => {
    for (const server of [{ ...UP, silence: "starting\nup" }, "starting\nup"])
      expect(judged(server)).toEqual({ notLookedAt: ["server: starting\\nup"], troubles: [] });
  });

  test("that is down is said in its first minute, with what starts it", () => {
    const down = "the server of '/data' is down: not seen since 2026-11-20T06:40:29Z (30 seconds ago)";
    expect(judged(DOWN).troubles).toEqual([[down, "systemctl start postgresql@17-main.service"]]);
    expect(judged({ ...DOWN, seenAtS: null, unit: null }).troubles).toEqual([
      ["the server of '/data' is down", "Start it, and read its log if it does not stay."],
    ]);
  });

  test("whose directory is lost is named on a host that backs it up", () => {
    const lost = { ...DOWN, hasCluster: false };
    expect(judged(lost).troubles).toEqual([
      ["there is no cluster in '/data'", "pgbackstop recover restores it. Is its file system mounted?"],
    ]);
    for (const units of [null, WELL.slice(4)])
      expect(hostReport({ units, fullWithinS: [], server: lost, backedUpAtS: null, nowS: NOW_S }).troubles).toEqual([]);
  });

  test("whose directory is lost is named where this host took backups, also without systemd", () => {
    const lost = { ...DOWN, hasCluster: false };
    const backedUpAtS = NOW_S - DAY_S;
    expect(hostReport({ units: null, fullWithinS: [], server: lost, backedUpAtS, nowS: NOW_S }).troubles).toEqual([
      expect.objectContaining({
        message: "there is no cluster in '/data': this host backed one up at 2026-11-19T06:40:59Z",
        kind: "pathMissing",
      }),
    ]);
  });

  test("that is down after a recovery is told how to go on, or back", () => {
    expect(judged({ ...DOWN, recovery: "unfinished" }).troubles).toEqual([
      [
        "the server of '/data' is down after an unfinished recovery: not seen since 2026-11-20T06:40:29Z (30 seconds ago)",
        "pgbackstop recover continues it, and pgbackstop recover --undo puts the old data back.",
      ],
    ]);
    expect(judged({ ...DOWN, recovery: "foreign" }).troubles[0]?.slice(1)).toEqual([
      expect.stringMatching(/^Root or another account .*: pgbackstop recover continues it, .* --undo /),
      "systemctl start postgresql@17-main.service",
    ]);
  });
});
