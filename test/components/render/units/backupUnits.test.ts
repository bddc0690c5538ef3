// claim: README.md: `systemd-analyze` accepts every unit and timer
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { unitsOf } from "../../../../components/render/host/hostParts";
import { backupUnits } from "../../../../components/render/units/backupUnits";
import { type Unit, unitFile } from "../../../../components/render/units/unit";
import { BUCKET, NAS, plan, R2 } from "../../plans";

const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;
if (!hasSystemd)
  console.warn("\n*** systemd-analyze is not on PATH: the units are not verified by systemd itself ***\n");

const filesOf = (units: readonly Unit[]) => units.map((unit) => unitFile("/etc/systemd/system", unit));

test("a schedule for one repository names it, one for all names none", () => {
  const services = backupUnits(
    plan({ schedules: { full: { cron: "0 2 * * 0" }, incr: { cron: "0 4 * * *", repositories: ["repo2"] } } }),
  ).filter(({ enabled }) => !enabled);
  expect(services.map(({ text }) => /backup .*$/m.exec(text.slice(text.indexOf("ExecStart")))?.[0])).toEqual([
    "backup --type=full",
    "backup --type=incr --repo=2",
  ]);
});

// claim: docs/hosts/new-host.md: a repository with times of its own, beside two others that share a run
test("a schedule for some of three repositories names them in one run", () => {
  const own = { ...R2, schedules: { full: { cron: "0 4 1 * *" } } };
  const units = backupUnits(
    plan({ repositories: { repo1: NAS, repo2: own, repo3: BUCKET }, schedules: { full: { cron: "0 2 * * 0" } } }),
  ).filter(({ enabled }) => !enabled);
  expect(units.map(({ text }) => /backup --.*$/m.exec(text)?.[0])).toEqual([
    "backup --type=full --repos=1,3",
    "backup --type=full --repo=2",
  ]);
});

test("a repository's own schedule is a service and a timer of its own", () => {
  const own = { ...BUCKET, schedules: { full: { cron: "0 4 1 * *" } } };
  const units = backupUnits(
    plan({ repositories: { repo1: NAS, repo2: own }, schedules: { full: { cron: "0 2 * * 0" } } }),
  );
  expect(units.map(({ name, text }) => [name, /(backup --.*|OnCalendar=.*)$/m.exec(text)?.[0]])).toEqual([
    ["pgbackstop-main-full.service", "backup --type=full --repo=1"],
    ["pgbackstop-main-full.timer", "OnCalendar=Sun *-*-* 02:00:00 UTC"],
    ["pgbackstop-main-full-repo2.service", "backup --type=full --repo=2"],
    ["pgbackstop-main-full-repo2.timer", "OnCalendar=*-*-01 04:00:00 UTC"],
  ]);
});

// claim: docs/hosts/priority.md: backupPriority is for the units of backups, and neither for others nor for the agent
test("backups have the declared priority, and every other unit its own", () => {
  const backupPriority = { cpuNice: 5, ioClass: "best-effort", ioLevel: 7 } as const;
  const lines = new Map(
    unitsOf(plan({ backupPriority, drills: { monthly: { cron: "0 5 1 * *" } } })).map(({ name, text }) => [
      name,
      text.split("\n").filter((line) => /^(Nice|IOScheduling)/.test(line)),
    ]),
  );
  const own = ["Nice=5", "IOSchedulingClass=best-effort", "IOSchedulingPriority=7"];
  expect(lines.get("pgbackstop-main-full.service")).toEqual(own);
  for (const [name, priority] of lines)
    if (!/-(full|diff|incr)\.service$/.test(name))
      expect([[], ["Nice=10", "IOSchedulingClass=idle"]]).toContainEqual(priority);
  expect(lines.get("pgbackstop-main-agent.service")).toEqual([]);
  expect(lines.get("pgbackstop-main-verify.service")).toEqual(["Nice=10", "IOSchedulingClass=idle"]);
});

test("a schedule is a service and a timer", () => {
  const units = filesOf(
    backupUnits(
      plan({
        agent: false,
        schedules: { full: { cron: "30 2 13 * 5", timeZone: "Europe/Berlin", jitterSeconds: 600 } },
      }),
    ),
  );
  expect(units.map((unit) => [unit.path, unit.mode, unit.owner])).toEqual([
    ["/etc/systemd/system/pgbackstop-main-full.service", "0644", "admin"],
    ["/etc/systemd/system/pgbackstop-main-full.timer", "0644", "admin"],
  ]);
  expect(units.map((unit) => unit.text).join("\n")).toMatchInlineSnapshot(`
    "# Written by pgbackstop: changes made here by hand are undone by the next update.
    [Unit]
    Description=pgbackstop full backup of stanza main
    After=network-online.target remote-fs.target postgresql.service
    Wants=network-online.target
    OnFailure=pgbackstop-main-failed@%n.service

    [Service]
    Type=oneshot
    User=postgres
    Environment=MALLOC_ARENA_MAX=1
    Environment=MALLOC_MMAP_THRESHOLD_=262144
    Environment=MALLOC_TRIM_THRESHOLD_=262144
    ExecStart=/usr/bin/node /usr/local/lib/pgbackstop/runtime.cjs --config=/etc/pgbackstop/pgbackrest.conf --config-include-path=/etc/pgbackstop/conf.d --stanza=main backup --type=full
    TimeoutStartSec=86400
    Nice=10
    IOSchedulingClass=idle
    NoNewPrivileges=yes
    CapabilityBoundingSet=
    LockPersonality=yes
    PrivateDevices=yes
    PrivateMounts=yes
    ProtectClock=yes
    ProtectControlGroups=yes
    ProtectHostname=yes
    ProtectKernelLogs=yes
    ProtectKernelModules=yes
    ProtectKernelTunables=yes
    ProtectProc=invisible
    RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
    RestrictNamespaces=yes
    RestrictRealtime=yes
    RestrictSUIDSGID=yes
    SystemCallArchitectures=native
    SystemCallFilter=@system-service
    UMask=0027
    ProtectSystem=strict
    ProtectHome=read-only
    ReadWritePaths=-/var/spool/pgbackrest -/var/log/pgbackrest -/mnt/nas/pgbackrest

    # Written by pgbackstop: changes made here by hand are undone by the next update.
    [Unit]
    Description=pgbackstop full backup of stanza main: 30 2 13 * 5 Europe/Berlin

    [Timer]
    OnCalendar=*-*-13 02:30:00 Europe/Berlin
    OnCalendar=Fri *-*-* 02:30:00 Europe/Berlin
    RandomizedDelaySec=600
    FixedRandomDelay=yes
    AccuracySec=1s
    Persistent=yes

    [Install]
    WantedBy=timers.target
    "
  `);
  expect(backupUnits(plan()).map(({ name, enabled }) => [name, enabled])).toEqual([
    ["pgbackstop-main-full.service", false],
    ["pgbackstop-main-full.timer", true],
  ]);
});

test("homes are writable only if a path is below one", () => {
  const text = (over: object): string => backupUnits(plan(over))[0]?.text ?? "";
  expect(text({})).toContain("ProtectHome=read-only");
  expect(text({ dataDirectory: "/home/me/data" })).not.toContain("ProtectHome");
  expect(text({ nodePath: "/root/node/bin/node" })).not.toContain("ProtectHome");
});

// claim: docs/hosts/updates.md: no unit hides a directory that a tablespace or a link may lead to
test.each([
  ["directories", { repo1: NAS }],
  ["buckets", { repo1: BUCKET }],
  ["both", { repo1: NAS, repo2: BUCKET }],
])(
  "no unit hides a directory that a tablespace or a link may lead to, with repositories in %s",
  (_name, repositories) => {
    const drills = { monthly: { cron: "0 5 1 * *" }, open: { cron: "0 6 1 * *", how: "open" as const } };
    const units = unitsOf(plan({ repositories, drills, streaming: { intervalSeconds: 5 } }));
    const hiding =
      /^(ProtectHome=(yes|tmpfs)|PrivateTmp=yes|RootDirectory=|(Inaccessible|TemporaryFileSystem|Exec)Paths=).*$/m;
    expect(units.flatMap(({ name, text }) => (hiding.test(text) ? [name] : []))).toEqual([]);
    // The agent writes into pg_wal.
    const agent = units.find(({ name }) => name === "pgbackstop-main-agent.service");
    expect(agent?.text).not.toContain("ProtectHome");
  },
);

test("without a schedule there is no unit", () => {
  expect(backupUnits(plan({ schedules: {} }))).toEqual([]);
});

test.runIf(hasSystemd)("systemd accepts both units without a warning", () => {
  const folder = mkdtempSync(join(tmpdir(), "pgb-units-"));
  try {
    const units = filesOf(
      unitsOf(plan({ nodePath: process.execPath, directories: { log: "/var/log/my logs" }, user: "root_owner" })),
    );
    const paths = units.map((unit) => {
      const path = join(folder, basename(unit.path));
      writeFileSync(path, unit.text);
      return path;
    });
    const result = spawnSync("systemd-analyze", ["verify", "--man=no", ...paths], { encoding: "utf8" });
    // systemd may warn about units of this machine, but not about ours.
    const ours = result.stderr
      .split("\n")
      .filter((line) => line.includes("pgbackstop") && !line.includes("is not executable"));
    expect(ours).toEqual([]);
    writeFileSync(paths[0] ?? "", `${units[0]?.text}NoSuchSetting=1\n`);
    expect(spawnSync("systemd-analyze", ["verify", "--man=no", ...paths], { encoding: "utf8" }).stderr).toContain(
      "NoSuchSetting",
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
