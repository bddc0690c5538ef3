import { expect, test } from "vitest";
import { expectFullWithin } from "../../../../components/plan/schedule/expectFull";
import { longestGapDays } from "../../../../components/plan/schedule/schedule";
import { plan } from "../../plans";

const SLACK_S = 7200;

test.each([
  ["30 2 * * *", 1],
  ["30 2 * * 0", 7],
  ["0 3 * * 1-5", 3],
  ["0 3 1,15 * *", 17],
  ["0 3 1 * *", 31],
  ["0 3 1 1 *", 365],
])("%s leaves at most %i days between runs", (cron, days) => {
  const [schedule] = plan({ schedules: { full: { cron } } }).schedules;
  if (schedule === undefined) throw new Error("there is a schedule");
  expect(longestGapDays(schedule.cron)).toBe(days);
});

test("a full backup may be as old as its schedule allows, with jitter and deadline", () => {
  const schedules = {
    full: { cron: "30 2 * * 0", jitterSeconds: 600, deadlineSeconds: 3600, repositories: ["repo1"] },
    diff: { cron: "30 2 * * 1-6" },
  };
  expect(expectFullWithin(plan({ schedules }), { name: "repo1" })).toBe(7 * 86_400 + 600 + 3600 + SLACK_S);
});

test("without a repeating schedule, one is required if the update takes it, and otherwise none is expected", () => {
  const schedules = { full: { cron: "30 2 * * 0", repositories: ["repo1"] } };
  expect(expectFullWithin(plan({ schedules }), { name: "repo2" })).toBe("ever");
  expect(expectFullWithin(plan({ schedules, firstBackup: false }), { name: "repo2" })).toBeUndefined();
  expect(expectFullWithin(plan({ schedules, firstBackup: false }), { name: "repo1" })).toBe(8 * 86_400 + SLACK_S);
});
