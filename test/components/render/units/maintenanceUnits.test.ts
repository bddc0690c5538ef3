// claim: docs/notifications.md: targets get starts, ends…
import { describe, expect, test } from "vitest";
import { unitsOf } from "../../../../components/render/host/hostParts";
import { failedUnits } from "../../../../components/render/units/failedUnits";
import { maintenanceUnits } from "../../../../components/render/units/maintenanceUnits";
import { plan } from "../../plans";

type Over = Parameters<typeof plan>[0];
const text = (name: string, over: Over = {}): string =>
  unitsOf(plan(over)).find((unit) => unit.name === name)?.text ?? "";
const lineOf = (of: string, arg: string): string => of.split("\n").find((line) => line.startsWith(arg)) ?? "";

test("under systemd, expiry, verification, repair and metrics have their times", () => {
  const timers = maintenanceUnits(plan()).filter(({ enabled }) => enabled);
  expect(
    timers.map((unit) => [
      unit.name,
      ...unit.text.split("\n").filter((line) => /^(OnCalendar|RandomizedDelaySec)=/.test(line)),
    ]),
  ).toEqual([
    ["pgbackstop-main-expire.timer", "OnCalendar=*-*-* 06:40:00 UTC", "RandomizedDelaySec=600"],
    ["pgbackstop-main-verify.timer", "OnCalendar=Sat *-*-* 07:20:00 UTC", "RandomizedDelaySec=3600"],
    ["pgbackstop-main-heal.timer", "OnCalendar=*-*-* *:50:00 UTC", "RandomizedDelaySec=300"],
    [
      "pgbackstop-main-metrics.timer",
      expect.stringMatching(/^OnCalendar=\*-\*-\* \*:00.*55:00 UTC$/) as string,
      "RandomizedDelaySec=60",
    ],
  ]);
  for (const { text: timer } of timers) expect(timer).toMatch(/FixedRandomDelay=yes\n[^]*Persistent=yes\n/);
});

test("each does its own work, with the keys and within its time", () => {
  const expire = text("pgbackstop-main-expire.service");
  expect(lineOf(expire, "ExecStart=")).toMatch(/--config-include-path=\$\{CREDENTIALS_DIRECTORY\} expire$/);
  expect(lineOf(expire, "LoadCredential=")).toBe("LoadCredential=repo2.conf:/etc/pgbackstop/credentials/repo2.conf");
  expect(lineOf(expire, "TimeoutStartSec=")).toBe("TimeoutStartSec=21600");
  expect(lineOf(expire, "SuccessExitStatus=")).toBe("SuccessExitStatus=50");
  expect(lineOf(text("pgbackstop-main-verify.service"), "ExecStart=")).toMatch(/ verify --sample=10$/);
  expect(
    lineOf(text("pgbackstop-main-verify.service", { maintenance: { verify: { samplePercent: 100 } } }), "ExecStart="),
  ).toMatch(/ verify$/);
  const metrics = text("pgbackstop-main-metrics.service");
  expect(lineOf(metrics, "ExecStart=")).toMatch(
    / metrics --output-file=\/var\/lib\/node_exporter\/textfile_collector\/pgbackstop-main.prom$/,
  );
  expect(lineOf(metrics, "ReadWritePaths=")).toMatch(/ -\/var\/lib\/node_exporter\/textfile_collector$/);
});

test("metrics are sent where a file on the host says, instead of being one", () => {
  const sent = (over: Over = {}): string =>
    text("pgbackstop-main-metrics.service", { monitoring: { otlp: {} }, ...over });
  expect(lineOf(sent(), "ExecStart=")).toMatch(/ metrics --otlp$/);
  expect(sent()).toContain("LoadCredential=otlp.env:/etc/pgbackstop/credentials/otlp.env\n");
  expect(sent()).not.toContain("textfile_collector");
  const existing = { otlp: { existingFile: "/run/secrets/50%.env" }, listen: "127.0.0.1:9854" };
  expect(sent({ monitoring: existing })).toContain("LoadCredential=otlp.env:/run/secrets/50%%.env\n");
  const alone = sent({ agent: false, maintenance: { metrics: {} }, monitoring: { otlp: {} } });
  expect(lineOf(alone, "ExecStart=")).toMatch(/ metrics --otlp-file=\/etc\/pgbackstop\/conf\.d\/otlp\.env$/);
  expect(sent({ monitoring: { listen: "127.0.0.1:9854" } })).toBe("");
});

test("a stale check notifies itself, and fails quietly only where it does", () => {
  const stale = (over: Over): string => text("pgbackstop-main-stale.service", { maintenance: { stale: {} }, ...over });
  expect(text("pgbackstop-main-stale.service")).toBe("");
  const silent = stale({});
  expect(lineOf(silent, "ExecStart=")).toMatch(/ check --stale --unit=pgbackstop-main-stale.service$/);
  expect(silent).not.toMatch(/SuccessExitStatus|notify/);
  const targets = [{ type: "webhook" as const }];
  const notified = stale({ notify: { targets } });
  expect(notified).toContain("LoadCredential=notify.json:");
  expect(notified).toContain("SuccessExitStatus=75\n");
  expect(notified).toContain("OnFailure=pgbackstop-main-failed@%n.service\n");
  // Neither a start nor a success of each hour is news.
  expect(notified).not.toMatch(/Wants=pgbackstop|OnSuccess/);
  const without = lineOf(stale({ agent: false, notify: { existingFile: "/run/notify.json" } }), "ExecStart=");
  expect(without).toMatch(/ --notify-file=\/run\/notify.json$/);
  const timer = unitsOf(plan({ maintenance: { stale: { cron: "5 */6 * * *" } } })).find(
    ({ name }) => name === "pgbackstop-main-stale.timer",
  );
  expect(timer?.enabled).toBe(true);
});

test("a task can be left out, or be the only one elsewhere", () => {
  const names = (over: Over): string[] =>
    maintenanceUnits(plan(over)).flatMap(({ enabled, name }) => (enabled ? [name] : []));
  expect(
    names({ maintenance: { expire: { enabled: false }, metrics: { enabled: false }, verify: { enabled: false } } }),
  ).toEqual(["pgbackstop-main-heal.timer"]);
  expect(names({ directories: { units: "/srv/units" } })).toEqual([]);
  expect(names({ directories: { units: "/srv/units" }, maintenance: { heal: { cron: "5 * * * *" } } })).toEqual([
    "pgbackstop-main-heal.timer",
  ]);
});

test("a failure is logged to the journal and sent to the plan's targets", () => {
  const lines = (over: Over = {}): string[] =>
    (failedUnits(plan(over))[0]?.text ?? "").split("\n").filter((line) => /^(ExecStart|LoadC)/.test(line));
  const journal = 'ExecStart=/bin/echo "<3>%i failed: journalctl -u %i says why"';
  expect(lines()).toEqual([journal]);
  const program =
    "ExecStart=/usr/bin/node /usr/local/lib/pgbackstop/runtime.cjs --config=/etc/pgbackstop/pgbackrest.conf";
  expect(lines({ notify: {} })).toEqual([
    journal,
    `${program} --stanza=main notify --event=failure --unit=%i`,
    "LoadCredential=notify.json:/etc/pgbackstop/credentials/notify.json",
  ]);
  expect(lines({ notify: { existingFile: "/run/secrets/notify.json" } })[2]).toBe(
    "LoadCredential=notify.json:/run/secrets/notify.json",
  );
  expect(lines({ agent: false, notify: {} })[1]).toBe(
    `${program} --config-include-path=/etc/pgbackstop/conf.d --stanza=main notify --event=failure --notify-file=/etc/pgbackstop/conf.d/notify.json --unit=%i`,
  );
  expect(lineOf(text("pgbackstop-main-heal.service"), "OnFailure=")).toBe(
    "OnFailure=pgbackstop-main-failed@%n.service",
  );
  expect(lines({ directories: { units: "/srv/units" } })).toEqual([]);
});

describe("notices besides failures", () => {
  const reported = (over: Over): string[] =>
    unitsOf(
      plan({ schedules: { full: { cron: "0 2 * * 0" }, incr: { cron: "30 * * * *" } }, drills: {}, ...over }),
    ).flatMap((unit) =>
      unit.text.split("\n").flatMap((line) => {
        const [, arg, value] = /^(Wants|OnSuccess)=(?!network)(.*)$/.exec(line) ?? [];
        return arg === undefined ? [] : [`${unit.name.replace(/^pgbackstop-main-|\.service$/g, "")} ${arg} ${value}`];
      }),
    );
  const names = (over: Over): string[] => unitsOf(plan(over)).flatMap(({ name }) => (name.includes("@") ? [name] : []));
  const ping = { type: "healthchecks", units: ["pgbackstop-main-full.service"] };

  test("are absent without a target, and exist for the units that a target wants", () => {
    expect(reported({})).toEqual([]);
    expect(reported({ notify: { targets: [{ type: "slack" }] } })).toEqual([]);
    expect(names({ notify: { targets: [{ type: "slack" }] } })).toEqual([
      "pgbackstop-main-failed@.service",
      "pgbackstop-main-drilled@.service",
    ]);
    expect(reported({ notify: { targets: [ping] } })).toEqual([
      "full Wants pgbackstop-main-started@%n.service",
      "full OnSuccess pgbackstop-main-succeeded@%n.service",
    ]);
    const all = reported({ notify: { targets: [{ type: "alertmanager" }] } });
    expect(all).toEqual(
      ["full", "incr", "expire", "verify", "heal"].map(
        (name) => `${name} OnSuccess pgbackstop-main-succeeded@%n.service`,
      ),
    );
    expect(reported({ notify: { targets: [{ type: "alertmanager", events: ["failure"] }] } })).toEqual([]);
    expect(reported({ notify: { existingFile: "/run/secrets/notify.json" } })).toHaveLength(10);
    expect(reported({ directories: { units: "/srv/units" }, notify: { targets: [ping] } })).toEqual([]);
  });

  test("use separate units that nothing waits for, and an end never comes before its start", () => {
    const of = (name: string): string => text(`pgbackstop-main-${name}@.service`, { notify: { targets: [ping] } });
    expect(lineOf(of("started"), "ExecStart=")).toMatch(
      /^ExecStart=-\/usr\/bin\/node .* notify --event=start --unit=%i$/,
    );
    expect(lineOf(of("started"), "After=")).toBe("After=network-online.target");
    for (const name of ["succeeded", "failed"]) {
      expect(lineOf(of(name), "After=")).toBe("After=network-online.target pgbackstop-main-started@%i.service");
    }
    expect(lineOf(of("succeeded"), "LoadCredential=")).toBe(
      "LoadCredential=notify.json:/etc/pgbackstop/credentials/notify.json",
    );
    expect(lineOf(of("succeeded"), "TimeoutStartSec=")).toBe("TimeoutStartSec=90");
    const full = text("pgbackstop-main-full.service", {
      schedules: { full: { cron: "0 2 * * 0" } },
      notify: { targets: [ping] },
    });
    expect(full).not.toMatch(/notify\.json|^After=.*started/m);
  });
});
