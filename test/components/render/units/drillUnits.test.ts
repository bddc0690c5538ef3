import { expect, test } from "vitest";
import { hostDesired } from "../../../../components/databases/hostFiles";
import { unitsOf } from "../../../../components/render/host/hostParts";
import { plan } from "../../plans";

type Over = Parameters<typeof plan>[0];
const WEEKLY = { weekly: { cron: "30 4 * * 6", timeZone: "Europe/Berlin", maxMinutes: 90 } };
const text = (name: string, over: Over = { drills: WEEKLY }): string =>
  unitsOf(plan(over)).find((unit) => unit.name === name)?.text ?? "";
const linesOf = (of: string, arg: string): string[] => of.split("\n").filter((line) => line.startsWith(arg));
const PROGRAM =
  "/usr/bin/node /usr/local/lib/pgbackstop/runtime.cjs --config=/etc/pgbackstop/pgbackrest.conf --stanza=main";
const LENT = "--config-include-path=${CREDENTIALS_DIRECTORY}";

test("a drill has a timer, and a unit with the keys that yields to production", () => {
  expect(linesOf(text("pgbackstop-main-drill-weekly.timer"), "OnCalendar=")).toEqual([
    "OnCalendar=Sat *-*-* 04:30:00 Europe/Berlin",
  ]);
  const service = text("pgbackstop-main-drill-weekly.service");
  expect(linesOf(service, "ExecStart=")).toEqual([
    `ExecStart=${PROGRAM} ${LENT} drill --name=weekly --drill-path=/var/lib/postgresql/18/main-drill`,
  ]);
  for (const line of ["User=postgres", "Nice=10", "CPUWeight=20", "OOMScoreAdjust=800", "KillMode=mixed"])
    expect(linesOf(service, line)).toEqual([line]);
  expect(linesOf(service, "LoadCredential=")).toEqual([
    "LoadCredential=repo2.conf:/etc/pgbackstop/credentials/repo2.conf",
  ]);
  // The drill's own limit of 90 minutes comes first.
  expect(linesOf(service, "TimeoutStartSec=")).toEqual([`TimeoutStartSec=${90 * 60 + 900}`]);
  const [writable = ""] = linesOf(service, "ReadWritePaths=");
  expect(writable).toMatch(/ -\/var\/lib\/postgresql\/18\/main-drill$/);
  expect(`${writable} `).not.toContain("/main ");
});

test("a drill that opens its backup mounts as root, with FUSE as its only device", () => {
  const service = text("pgbackstop-main-drill-weekly.service", {
    drills: { weekly: { ...WEEKLY.weekly, how: "open" } },
  });
  for (const line of ["User=root", "DevicePolicy=closed", "DeviceAllow=/dev/fuse rw", "NoNewPrivileges=yes"])
    expect(linesOf(service, line)).toEqual([line]);
  expect(linesOf(service, "SystemCallFilter=")).toEqual(["SystemCallFilter=@system-service @mount"]);
  expect(linesOf(service, "CapabilityBoundingSet=")[0]).toMatch(/CAP_SETUID CAP_SYS_ADMIN CAP_SYS_PTRACE$/);
  expect(linesOf(service, "PrivateDevices=")).toEqual([]);
});

test("each drill is followed by new metrics and a notification, whatever its result", () => {
  const over = { drills: WEEKLY, notify: { targets: [{ type: "webhook" }] } };
  const service = text("pgbackstop-main-drill-weekly.service", over);
  for (const event of ["OnSuccess=", "OnFailure="]) {
    expect(linesOf(service, event).some((line) => / ?pgbackstop-main-drilled@%n\.service$/.test(line))).toBe(true);
    expect(linesOf(service, event)).toContain(`${event}pgbackstop-main-metrics.service`);
  }
  expect(linesOf(service, "OnFailure=")).toContain("OnFailure=pgbackstop-main-failed@%n.service");
  expect(text("pgbackstop-main-drilled@.service", over)).toContain(" notify --event=drill ");
  const silent = { drills: WEEKLY, maintenance: { metrics: { enabled: false } } };
  expect(linesOf(text("pgbackstop-main-drill-weekly.service", silent), "On")).toEqual([
    "OnFailure=pgbackstop-main-failed@%n.service",
  ]);
});

test("root creates its directory, for PostgreSQL's account alone, at the plan's path or beside the data", () => {
  const made = (drill: object): unknown =>
    hostDesired(plan({ drills: { weekly: { cron: "30 4 * * 6", ...drill } } }), "").directories.keep.at(-1);
  expect(made({})).toEqual({ path: "/var/lib/postgresql/18/main-drill", mode: "0700", owner: "database" });
  expect(made({ path: "/srv/drill" })).toEqual({ path: "/srv/drill", mode: "0700", owner: "database" });
  const home = text("pgbackstop-main-drill-weekly.service", {
    drills: { weekly: { cron: "0 5 * * 6", path: "/home/drill" } },
  });
  expect(linesOf(home, "ProtectHome=")).toEqual([]);
});

test("a drill elsewhere has no unit here, and stock's host has drills too", () => {
  const names = (over: Over): string[] =>
    unitsOf(plan(over)).flatMap(({ enabled, name }) => (enabled && name.includes("drill") ? [name] : []));
  const drills = { ...WEEKLY, far: { cron: "0 5 1 * *", elsewhere: true } };
  expect(names({ drills })).toEqual(["pgbackstop-main-drill-weekly.timer"]);
  expect(names({ drills, engine: "pgbackrest" })).toEqual(["pgbackstop-main-drill-weekly.timer"]);
  const { keep } = hostDesired(plan({ drills: { far: drills.far } }), "").directories;
  expect(keep.filter(({ path }) => path.endsWith("-drill"))).toEqual([]);
});

test("a drill of a container has a list of rights, except with Podman, which starts the container itself", () => {
  const of = (engine: string): string =>
    text("pgbackstop-main-drill-weekly.service", { drills: WEEKLY, container: { name: "shop-db", engine } });
  expect(linesOf(of("docker"), "CapabilityBoundingSet=")).toEqual([
    "CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_SYS_PTRACE",
  ]);
  for (const line of ["CapabilityBoundingSet=", "RestrictNamespaces=", "SystemCallFilter=", "ReadWritePaths="])
    expect(linesOf(of("podman"), line)).toEqual([]);
  expect(linesOf(of("podman"), "ProtectSystem=")).toEqual(["ProtectSystem=full"]);
});
