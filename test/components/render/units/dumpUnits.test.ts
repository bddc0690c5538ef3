import { expect, test } from "vitest";
import { unitsOf } from "../../../../components/render/host/hostParts";
import { plan } from "../../plans";

const linesOf = (dumps: NonNullable<Parameters<typeof plan>[0]>["dumps"], unit: string, arg: string): string[] =>
  unitsOf(plan({ dumps }))
    .filter(({ name }) => name === unit)
    .flatMap(({ text }) => text.split("\n").filter((line) => line.startsWith(arg)));
const command = (dumps: NonNullable<Parameters<typeof plan>[0]>["dumps"]): string =>
  linesOf(dumps, "pgbackstop-main-dump.service", "ExecStart=").join().split("${CREDENTIALS_DIRECTORY} ")[1] ?? "";

test("dumps have a timer, and a unit with the keys that yields to production and reports its failure", () => {
  const dumps = { cron: "30 4 * * *", timeZone: "Europe/Berlin", deadlineSeconds: 7200 };
  expect(linesOf(dumps, "pgbackstop-main-dump.timer", "OnCalendar=")).toEqual([
    "OnCalendar=*-*-* 04:30:00 Europe/Berlin",
  ]);
  const service = "pgbackstop-main-dump.service";
  for (const line of ["User=postgres", "Nice=10", "IOSchedulingClass=idle", "TimeoutStartSec=7200"])
    expect(linesOf(dumps, service, line)).toEqual([line]);
  expect(linesOf(dumps, service, "LoadCredential=")).toEqual([
    "LoadCredential=repo2.conf:/etc/pgbackstop/credentials/repo2.conf",
  ]);
  expect(linesOf(dumps, service, "OnFailure=")).toEqual(["OnFailure=pgbackstop-main-failed@%n.service"]);
});

test("the command names databases and repositories only where they are not all", () => {
  expect(command({ cron: "30 4 * * *" })).toBe("dump");
  const some = { cron: "30 4 * * *", repositories: ["repo2"], databases: ["shop", "50 % off"] };
  expect(command(some)).toBe(`dump --repos=2 --database=shop "--database=50 %% off"`);
});

test("without dumps there is no unit", () => {
  expect(unitsOf(plan()).map(({ name }) => name)).not.toContain("pgbackstop-main-dump.timer");
});
