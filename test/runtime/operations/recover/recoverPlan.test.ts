import { describe, expect, test } from "vitest";
import { fail, isError } from "../../../../runtime/base/errors";
import { serverControl } from "../../../../runtime/operations/recover/control";
import { hasSameDirectories, type HostFacts } from "../../../../runtime/operations/recover/hostFacts";
import { remember } from "../../../../runtime/operations/recover/recoveryJournal";
import type { InstantFacts } from "../../../../runtime/operations/recover/instantPlan";
import { planRecover, type PlanInput, planText } from "../../../../runtime/operations/recover/recoverPlan";
import { withNewTimeline, withoutNewTimeline } from "../../../../runtime/operations/recover/newTimeline";
import { SegmentPath, type TimelinePath } from "../../../../runtime/format/wal/segmentPath";
import { replayPath } from "../../../../runtime/operations/recover/replayPath";

const DATA = "/var/lib/postgresql/17/main";
const GIB = 1024 ** 3;
const FACTS: HostFacts = {
  configuredDirectory: DATA,
  dataDirectory: DATA,
  owner: { uid: 100, gid: 100, mode: 0o700 },
  control: null,
  mounts: ["/", "/var/lib/postgresql"],
  tablespaces: ["/space/one/PG_17_202406281"],
  otherUse: null,
  walDirectory: "/wal/17",
  walLink: "/wal/17",
  walWrittenAtS: 1000,
  server: { pid: 7, unit: "postgresql@17-main.service" },
  startedWith:
    '/usr/lib/postgresql/17/bin/postgres "-D" "/var/lib/postgresql/17/main" "-c" "config_file=/etc/p.conf"\n',
  hasSystemd: true,
  units: [],
  debianCluster: null,
};
const INPUT: PlanInput = {
  request: {
    stanza: "main",
    type: "default",
    target: undefined,
    targetAction: "promote",
    targetExclusive: false,
    targetTimeline: undefined,
    repoIndex: undefined,
    set: undefined,
  },
  facts: FACTS,
  broughtWalBytes: 0,
  source: {
    repoIndex: 1,
    location: "/mnt/nas",
    label: "20261120-020015F",
    stoppedAtS: 500,
    pgVersion: "17",
    systemId: "1",
    targets: [
      { name: "pg_data", path: DATA, sizeBytes: GIB },
      { name: "pg_tblspc/16384", path: "/space/one", sizeBytes: GIB },
    ],
    links: [],
    fileCount: 2,
    walStop: "000000010000000000000003",
    wal: {
      first: "000000010000000000000002",
      timeline: 1,
      last: "000000010000000000000009",
      segmentCount: 8,
      sizeRepoBytes: 1000,
      missing: null,
    },
    gap: null,
    leaving: [],
    targetTimeline: "latest",
    unlisted: [],
    without: null,
    newestWalStoredAtS: 900,
  },
  live: { dataDirectory: DATA, inRecovery: false, archiveMode: "on", lsn: "0/A000000" },
  control: { stop: ["systemctl", "stop", "p"], start: ["systemctl", "start", "p"], asAccount: false },
  freeSpace: [
    { device: 1, freeBytes: 2 * GIB },
    { device: 2, freeBytes: 2 * GIB },
  ],
  finishWal: true,
  startFault: null,
  instant: null,
  running: null,
  nowS: 2000,
  stamp: "20261121-053000",
};
const DOWN = { live: null, facts: { ...FACTS, server: null } };

const kindOf = (more: Partial<PlanInput>): string => {
  try {
    planRecover({ ...INPUT, ...more });
    return "planned";
  } catch (error) {
    if (!isError(error)) throw error;
    expect(error.hints.length).toBeGreaterThan(0);
    return `${error.kind}: ${error.message}`;
  }
};
const target = (type: string, text: string) => ({ ...INPUT.request, type, target: text });

describe("the plan of recover --instant", () => {
  const instant: InstantFacts = {
    isRoot: true,
    hasFuse: true,
    hasLabels: false,
    isContainer: false,
    hasLentKeys: false,
    isLeft: false,
    isShared: false,
    moveAt: null,
  };
  const source = { ...INPUT.source, targets: INPUT.source.targets.slice(0, 1) };
  const facts = { ...FACTS, tablespaces: [], walDirectory: null, walLink: null };
  const plain = { instant, source, facts };

  test("mounts the backup, and names the restart that ends it", () => {
    const input = { ...INPUT, ...plain, instant: { ...instant, moveAt: "02:00" } };
    const text = planText(planRecover(input), input);
    expect(text).toContain(`mount backup 20261120-020015F (1GB, 2 file(s)) in ${DATA}; its pages`);
    expect(text).toContain(
      `when everything is here, at 02:00: systemctl stop p; move the files to ${DATA}; systemctl start p`,
    );
    expect(text).not.toContain("restore backup");
  });

  // claim: docs/hosts/instant.md: what it does not support is refused…
  test.each<readonly [string, Partial<PlanInput>]>([
    ["access", { instant: { ...instant, isRoot: false } }],
    ["fileExists", { instant: { ...instant, isLeft: true } }],
    ["a server in a container", { instant: { ...instant, isContainer: true } }],
    ["without /dev/fuse", { instant: { ...instant, hasFuse: false } }],
    ["SELinux", { instant: { ...instant, hasLabels: true } }],
    ["keys that systemd lends", { instant: { ...instant, hasLentKeys: true } }],
    ["beside which other accounts may write ('/var/lib/postgresql/17')", { instant: { ...instant, isShared: true } }],
    ["tablespaces", { facts: { ...facts, tablespaces: ["/space/one/PG_17_202406281"] } }],
    ["tablespaces", { source: INPUT.source }],
    ["with links ('/wal/17')", { facts: { ...facts, walDirectory: "/wal/17" } }],
    ["with links ('pg_data/pg_wal')", { source: { ...source, links: ["pg_data/pg_wal"] } }],
    ["--repo-target-time", { request: { ...INPUT.request, repoTargetTime: "2026-11-20 06:40:59+00" } }],
    ["--target-action=pause", { request: { ...INPUT.request, type: "immediate", targetAction: "pause" } }],
  ])("refuses %s, with the recovery that copies first as the way out", (what, more) => {
    expect(kindOf({ ...plain, ...more })).toContain(what);
    expect(kindOf({ ...plain, ...more, instant: null })).toBe("planned");
  });

  test("needs the space of all files, although it begins without them", () => {
    expect(kindOf({ ...plain, freeSpace: [{ device: 1, freeBytes: GIB / 2 }] })).toMatch(/^fileWrite/);
  });
});

describe("the plan of recover", () => {
  test("moves every directory of the cluster within its own parent, the data directory last", () => {
    const plan = planRecover(INPUT);
    expect(plan.moves.map(({ from }) => from)).toEqual(["/space/one/PG_17_202406281", "/wal/17", DATA]);
    expect(plan.moves.every(({ from, to }) => to === `${from}.before-recover-20261121-053000`)).toBe(true);
    expect(plan.restoreArgs).toEqual([
      "--delta",
      "--set=20261120-020015F",
      "--type=default",
      "--target-timeline=latest",
      "--link-map=pg_wal=/wal/17",
    ]);
    expect(planText(plan, INPUT)).toContain(
      "replays  WAL 000000010000000000000002 to 000000010000000000000009, 8 segment(s)",
    );
  });

  test("restores from the repository as it was, if the user says so", () => {
    const request = { ...INPUT.request, repoIndex: 1, repoTargetTime: "2026-11-20 06:40:59+00" };
    expect(planRecover({ ...INPUT, request }).restoreArgs).toContain("--repo-target-time=2026-11-20 06:40:59+00");
  });

  test("needs nothing from a host that has lost everything", () => {
    const facts = { ...FACTS, owner: null, server: null, walDirectory: null, tablespaces: [], walWrittenAtS: null };
    expect(planRecover({ ...INPUT, facts, live: null })).toMatchObject({
      moves: [],
      isStopped: true,
      finishWal: false,
      warnings: [],
    });
  });

  test.each<[string, Partial<PlanInput>, RegExp]>([
    ["a mount point", { facts: { ...FACTS, mounts: ["/", DATA] } }, /^fileMove: '\/var.*main' is a mount point/],
    ["one below it", { facts: { ...FACTS, mounts: [`${DATA}/pg_wal`] } }, /^fileMove: '.*pg_wal' is a mount point/],
    ["WAL on one", { facts: { ...FACTS, mounts: ["/wal/17"] } }, /^fileMove: '\/wal\/17'/],
    [
      "a standby",
      { live: { dataDirectory: DATA, inRecovery: true, archiveMode: "on", lsn: null } },
      /^pgRunning: .*second primary/,
    ],
    [
      "another server here",
      { live: { dataDirectory: "/other", inRecovery: false, archiveMode: "on", lsn: "0/1" } },
      /^pgRunning: a server of '\/other' answers/,
    ],
    [
      "a copied directory, whose links lead to a running server's",
      { facts: { ...FACTS, otherUse: { path: "/space/one", dataDirectory: "/srv/17" } } },
      /^pgRunning: a link in .* leads to '\/space\/one', which the running server of '\/srv\/17' uses/,
    ],
    [
      "a silent server in a container",
      { live: null, facts: { ...FACTS, server: { pid: 0, unit: null } } },
      /^pgRunning: .*accepts no connection/,
    ],
    ["a silent server", { live: null }, /^pgRunning: .*accepts no connection/],
    ["a running backup", { running: "backup" }, /^lockAcquire/],
    ["too little space", { freeSpace: [{ device: 1, freeBytes: GIB }] }, /^fileWrite: not enough space for/],
    [
      "too little space for two on one disk",
      { freeSpace: INPUT.freeSpace.map(({ freeBytes }) => ({ device: 1, freeBytes })) },
      /^fileWrite/,
    ],
    ["a time in the future", { request: target("time", "2036-01-01 00:00:00Z") }, /^optionInvalidValue: .*now it is/],
    [
      "a time after the dead server's WAL",
      { ...DOWN, request: target("time", "1970-01-01 00:20:00Z") },
      /^optionInvalidValue: .*the newest WAL is from 1970-01-01T00:16:40Z/,
    ],
    ["an LSN in the future", { request: target("lsn", "0/B000000") }, /^optionInvalidValue/],
    [
      "WAL that the backup needs",
      { source: { ...INPUT.source, walStop: "00000001000000000000000A" } },
      /^backupSetInvalid/,
    ],
  ])("refuses %s", (_, more, text) => {
    expect(kindOf(more)).toMatch(text);
  });

  test("lets a dead server be recovered to the end of its pg_wal", () => {
    expect(kindOf({ ...DOWN, request: target("time", "1970-01-01 00:16:00Z") })).toBe("planned");
  });

  test("stops a container whose server ends at each start", () => {
    const facts: HostFacts = { ...FACTS, server: { pid: 0, unit: null, isRestarting: true } };
    expect(kindOf({ live: null, facts })).toBe("planned");
    expect(planRecover({ ...INPUT, live: null, facts }).isStopped).toBe(false);
  });
});

describe("who stops and starts it", () => {
  test("the unit that runs it, else pg_ctl with its own options", () => {
    expect(serverControl(FACTS, {}, "/log").start).toEqual(["systemctl", "start", "postgresql@17-main.service"]);
    expect(serverControl({ ...FACTS, hasSystemd: false }, {}, "/log")).toMatchObject({
      asAccount: true,
      start: [
        "/usr/lib/postgresql/17/bin/pg_ctl",
        "start",
        "-D",
        DATA,
        "-l",
        "/log",
        "-w",
        "-t",
        "604800",
        "-o",
        `"-D" "${DATA}" "-c" "config_file=/etc/p.conf"`,
      ],
    });
  });

  test("the settings file first; a manager of its own is left alone", () => {
    const patroni = { ...FACTS, server: { pid: 7, unit: "patroni.service" } };
    expect(() => serverControl(patroni, {}, "/log")).toThrow(/managed by 'patroni.service'/);
    expect(serverControl(patroni, { stop: ["a"], start: ["b"] }, "/log")).toEqual({
      stop: ["a"],
      start: ["b"],
      asAccount: false,
    });
    expect(() => serverControl({ ...FACTS, hasSystemd: false, startedWith: null }, {}, "/log")).toThrow(
      /the commands that stop and start/,
    );
  });

  test("as the journal remembers it, else as it runs now", () => {
    expect(remember({ ...FACTS, startedWith: null }, { unit: null, startedWith: "/a/postgres" }).startedWith).toBe(
      "/a/postgres",
    );
    expect(remember(FACTS, { unit: null, startedWith: null }).startedWith).toBe(FACTS.startedWith);
  });
});

test("a server that is known not to start on the restored data is refused; one that could not be asked about is named", () => {
  const hint = { hint: "a way out" };
  expect(kindOf({ startFault: fail("fileMissing", "image shop has no PostgreSQL 17", hint) })).toBe(
    "fileMissing: image shop has no PostgreSQL 17",
  );
  expect(kindOf({ startFault: fail("dbConnect", "there is no container 'shop'", hint) })).toContain("dbConnect: ");
  const unknown = { ...INPUT, startFault: fail("execute", "unable to look into image shop: timeout") };
  expect(planText(planRecover(unknown), unknown)).toContain(
    "!        whether the server starts on the restored data is unknown: unable to look into image shop: timeout",
  );
});

test("a repository that cannot be read refuses the recovery, unless it can have nothing that is needed", () => {
  const source = { ...INPUT.source, unlisted: [2] };
  expect(kindOf({ source })).toMatch(/^repoInvalid: repo2 cannot be read and may have WAL/);
  const alone = { ...INPUT, source: { ...source, without: "alone" as const } };
  const { restoreArgs, warnings } = planRecover(alone);
  expect(restoreArgs).toContain("--repo=1");
  expect(warnings).toEqual(["repo2 cannot be read: repo1 and the old pg_wal have all WAL up to the server's end"]);
  const byPolicy = planRecover({ ...INPUT, source: { ...source, without: "policy" } });
  expect(byPolicy.restoreArgs).not.toContain("--repo=1");
  expect(byPolicy.warnings).toEqual(["repo2 cannot be read: whatever was acknowledged is in the others"]);
});

test("a gap refuses a recovery to the end, and to what lies behind it, unless it is to end there", () => {
  const gap = { missing: "00000001000000000000000A", lsn: "0/A000000", storedAtS: 1500 };
  const source = { ...INPUT.source, gap };
  const lack = "neither a repository nor pg_wal has WAL segment 00000001000000000000000A, and there are later ones";
  const refusal = `backupSetInvalid: recovery ends before its target: ${lack}`;
  const live = { dataDirectory: DATA, inRecovery: false, archiveMode: "on", lsn: "0/C000000" };
  const outcome = (request: Partial<PlanInput["request"]>): string =>
    kindOf({ source, live, request: { ...INPUT.request, ...request } });
  expect(outcome({})).toBe(refusal);
  expect(outcome(target("lsn", "0/A000000"))).toBe(refusal);
  expect(outcome(target("time", "1970-01-01 00:25:01+00"))).toBe(refusal);
  expect(outcome(target("lsn", "0/9FFFFFF"))).toBe("planned");
  expect(outcome(target("time", "1970-01-01 00:25:00+00"))).toBe("planned");
  expect(outcome({ type: "immediate" })).toBe("planned");
  const forced = planRecover({ ...INPUT, source, request: { ...INPUT.request, force: true } });
  expect(forced.warnings).toEqual([`recovery cannot go further than this: ${lack}`]);
});

test("WAL that only pg_wal has is archived before the stop, or the recovery is refused", () => {
  const names = ["00000001000000000000000A", "00000001000000000000000B"];
  const input = { ...INPUT, source: { ...INPUT.source, leaving: names } };
  const plan = planRecover(input);
  expect(plan.leaving).toEqual(names);
  expect(planText(plan, input)).toContain(`1. archive 2 segment(s) from ${names[0]} on, which only pg_wal has`);
  const without = { ...input, finishWal: false };
  expect(kindOf(without)).toContain(`backupSetInvalid: only pg_wal has WAL from segment ${names[0]} on`);
  expect(planRecover({ ...without, request: { ...INPUT.request, force: true } }).leaving).toEqual([]);
});

test("several repositories decide a new timeline in turn", () => {
  expect(withNewTimeline("", ["A", "B"])).toContain(
    `case "%f" in *.history) (A); c=$?; [ $c -eq 1 ] || exit $c; B;; *) exit 1;; esac`,
  );
});

describe("the path of the WAL", () => {
  const SEGMENT = 16 * 1024 * 1024;
  const stored = (...names: string[]) => new Map(names.map((name) => [name.padStart(24, "0"), 10]));
  const ALONE = { timeline: 1, ancestors: [] };
  const route = (names: Map<string, number>, followed: TimelinePath = ALONE) =>
    replayPath(`${"1".padStart(8, "0")}${"2".padStart(16, "0")}`, names, new SegmentPath(followed, SEGMENT));

  test("ends where a segment is missing, and reports it if later ones exist", () => {
    const names = ["000000010000000000000002", "000000010000000000000003", "000000010000000000000005"];
    expect(route(stored(...names))).toMatchObject({
      last: names[1],
      segmentCount: 2,
      sizeRepoBytes: 20,
      missing: "000000010000000000000004",
    });
    expect(route(stored(...names.slice(0, 2)))).toMatchObject({ last: names[1], missing: null });
    expect(route(stored())).toMatchObject({ last: null, segmentCount: 0, missing: null });
  });

  test("switches to the next timeline in the segment of the promotion", () => {
    const names = [
      "000000010000000000000002",
      "000000010000000000000003",
      "000000020000000000000003",
      "000000020000000000000004",
    ];
    const followed = { timeline: 2, ancestors: [{ timeline: 1, lsn: 0x3000060n, reason: "" }] };
    expect(route(stored(...names), followed)).toMatchObject({ last: names[3], segmentCount: 3, missing: null });
  });
});

test("settings for a new timeline are removed without a trace", () => {
  const before = "# kept\nwork_mem = '4MB'\n";
  const text = withNewTimeline(before, [`/usr/bin/node x --stanza='a b' archive-get %f "%p"`]);
  expect(text).toContain(
    `restore_command = 'case "%f" in *.history) /usr/bin/node x --stanza=''a b'' archive-get %f "%p";; *) exit 1;; esac'`,
  );
  expect(text).toContain("recovery_target_time = ''\n");
  expect(text).toContain("recovery_min_apply_delay = '0'\n");
  expect(withoutNewTimeline(`${text}after = 1\n`)).toBe(`${before}after = 1\n`);
});

test("a plan is over when a tablespace, pg_wal or another server has changed, and not when the server has stopped", () => {
  expect(hasSameDirectories(FACTS, { ...FACTS, server: null, walWrittenAtS: 1 })).toBe(true);
  for (const change of [
    { tablespaces: [...FACTS.tablespaces, "/space/later/PG_17_202406281"] },
    { walDirectory: "/wal/other" },
    { otherUse: { path: "/space/one", dataDirectory: "/srv/17" } },
  ])
    expect(hasSameDirectories(FACTS, { ...FACTS, ...change })).toBe(false);
});
