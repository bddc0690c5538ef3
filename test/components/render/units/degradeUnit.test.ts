import { expect, test } from "vitest";
import { degradeFile, degradeUnits } from "../../../../components/render/units/degradeUnit";
import { runtime } from "../../../../components/render/hostEngines/runtime";
import { plan } from "../../plans";

const STREAMING = { synchronous: "any", degradeAfterSeconds: 30 } as const;

test("only a limit brings the unit: without one, commits wait for as long as it takes", () => {
  for (const streaming of [undefined, {}, { synchronous: "any" }] as const) {
    const without = plan(streaming === undefined ? {} : { streaming });
    expect([degradeFile(without), degradeUnits(without)]).toEqual([null, []]);
  }
  const { files, units } = runtime.render(plan({ streaming: STREAMING }));
  expect(files.map(({ path }) => path)).toContain("/usr/local/lib/pgbackstop/degrade-main");
  expect(units.map(({ name }) => name)).toContain("pgbackstop-main-degrade.service");
});

test("the unit needs neither Node nor configuration nor keys, and never gives up", () => {
  const [unit] = degradeUnits(plan({ streaming: STREAMING }));
  const lines = unit?.text.split("\n") ?? [];
  expect(lines).toContain("ExecStart=/usr/local/lib/pgbackstop/degrade-main");
  expect(lines).toContain("User=postgres");
  expect(lines).toContain("StartLimitIntervalSec=0");
  expect(lines).toContain("Restart=always");
  expect(`${unit?.text}${degradeFile(plan({ streaming: STREAMING }))?.text}`).not.toMatch(
    /node|LoadCredential|\/etc\/pgbackstop|pgbackrest\.conf/,
  );
  expect(unit).toMatchObject({ enabled: true, restarted: true });
});

test("it waits ten seconds longer than an agent, and connects as the agent does", () => {
  const text = degradeFile(plan({ streaming: STREAMING }))?.text ?? "";
  expect(text).toContain("select :missed * 2 >= :seconds + 10 as due");
  expect(text).toContain(" -v seconds=30 ");
  expect(text).toContain("socket=$(sed -n 5p /var/lib/postgresql/18/main/postmaster.pid 2>/dev/null)");
  const own = degradeFile(
    plan({ streaming: STREAMING, socketDirectory: "/run/my pg", databaseUser: "backup", port: 5433 }),
  )?.text;
  expect(own).toContain("socket='/run/my pg'");
  expect(own).toMatch(/-p 5433 -U backup -d postgres\n$/);
});
