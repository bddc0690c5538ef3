import { expect, test } from "vitest";
import { archiveTimeoutFor, worstCaseRpo } from "../../../components/plan/objectives";

test("the worst case is the timeout, one push and one retry", () => {
  expect(worstCaseRpo({ archiveTimeoutSeconds: 60 })).toEqual({ archiveTimeoutSeconds: 60, pushSeconds: 10, retrySeconds: 60, totalSeconds: 130 });
});

test("without a timeout nothing limits it", () => {
  expect(worstCaseRpo({ archiveTimeoutSeconds: undefined })).toBeNull();
  expect(worstCaseRpo({ archiveTimeoutSeconds: 0 })).toBeNull();
});

test("the timeout leaves room for push and retry, and never less than ten seconds", () => {
  expect([undefined, 30, 80, 130, 300].map(archiveTimeoutFor)).toEqual([undefined, 10, 10, 60, 230]);
});

test("an objective of at least 80 seconds is met by the timeout that follows from it", () => {
  for (const rpoSeconds of [80, 81, 100, 599, 3600]) {
    expect(worstCaseRpo({ archiveTimeoutSeconds: archiveTimeoutFor(rpoSeconds) })?.totalSeconds).toBeLessThanOrEqual(rpoSeconds);
  }
});
