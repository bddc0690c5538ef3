import { expect, test } from "vitest";
import { findRemovedRun } from "../../../../components/plan/schedule/removedTimes";

const at = (cron: string, timeZone: string): string | null => {
  const run = findRemovedRun({ cron, timeZone });
  return run === null ? null : `${run.year}-${run.month}-${run.day} ${run.hour}:${run.minute}`;
};

// systemd-analyze calendar: after a Saturday in March 2027, `Sun *-*-* 02:30:00 Europe/Berlin` is due on April 4.
test.each([
  ["a weekly run", "30 2 * * 0", "Europe/Berlin", "2027-3-28 2:30"],
  ["the first removed minute", "0 2 * * *", "Europe/Berlin", "2027-3-28 2:0"],
  ["a date that is such a Sunday once", "30 2 25 3 *", "Europe/Berlin", "2029-3-25 2:30"],
  ["an hour before another zone's", "30 3 * * 0", "Europe/Athens", "2027-3-28 3:30"],
  ["a night that begins at one", "30 0 * * *", "America/Santiago", "2027-9-5 0:30"],
  ["half an hour", "15 2 * * *", "Australia/Lord_Howe", "2027-10-3 2:15"],
])("%s does not start", (_what, cron, timeZone, expected) => {
  expect(at(cron, timeZone)).toBe(expected);
});

test.each([
  ["an hour that always exists", "30 3 * * 0", "Europe/Berlin"],
  ["the hour that comes twice", "59 1 * * 0", "Europe/Berlin"],
  ["a date that is never such a Sunday", "30 2 1 * *", "Europe/Berlin"],
  ["a weekday", "30 2 * * 1-6", "Europe/Berlin"],
  ["a zone without summer time", "30 2 * * 0", "Asia/Tokyo"],
  ["UTC", "30 2 * * 0", "UTC"],
  ["a run in each hour, which follows at once", "30 * * * *", "Europe/Berlin"],
  ["a run every few minutes", "*/15 * * * *", "Europe/Berlin"],
  ["half an hour that the minute is not in", "45 2 * * *", "Australia/Lord_Howe"],
  ["an invalid schedule", "30 2", "Europe/Berlin"],
  ["an invalid zone", "30 2 * * 0", "+02:00"],
])("%s starts", (_what, cron, timeZone) => {
  expect(at(cron, timeZone)).toBeNull();
});
