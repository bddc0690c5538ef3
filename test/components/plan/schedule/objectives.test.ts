import { expect, test } from "vitest";
import { archiveTimeoutFor, streamedTimeout, worstCaseRpo } from "../../../../components/plan/schedule/objectives";

test("the worst case is the timeout, one push and one retry", () => {
  expect(worstCaseRpo({ archiveTimeoutSeconds: 60 })).toEqual({
    waitSeconds: 60,
    waitsFor: "archive_timeout",
    pushSeconds: 10,
    retrySeconds: 60,
    totalSeconds: 130,
  });
});

test("with streaming it is the interval, one push, and the pause after a failure, whatever the timeout is", () => {
  expect(worstCaseRpo({ archiveTimeoutSeconds: 300, streamIntervalSeconds: 5 })).toEqual({
    waitSeconds: 5,
    waitsFor: "streaming",
    pushSeconds: 10,
    retrySeconds: 10,
    totalSeconds: 25,
  });
  expect(worstCaseRpo({ archiveTimeoutSeconds: undefined, streamIntervalSeconds: 60 })?.totalSeconds).toBe(130);
  // The primary of a replica cluster is a standby.
  expect(worstCaseRpo({ archiveTimeoutSeconds: 300, streamIntervalSeconds: 5, isReplica: true })?.totalSeconds).toBe(
    370,
  );
  const synchronous = { mode: "any", repositories: [], repoIndexes: [] };
  const waiting = { archiveTimeoutSeconds: 300, streamIntervalSeconds: 5, synchronous };
  expect(worstCaseRpo(waiting)?.totalSeconds).toBe(0);
  // The repositories may have been down for long enough just before.
  expect(worstCaseRpo({ ...waiting, synchronous: { ...synchronous, degradeAfterSeconds: 30 } })?.totalSeconds).toBe(25);
  expect([undefined, 10, 300, 3530].map(streamedTimeout)).toEqual([undefined, 300, 300, 3530]);
});

test("without a timeout nothing limits it", () => {
  expect(worstCaseRpo({ archiveTimeoutSeconds: undefined })).toBeNull();
  expect(worstCaseRpo({ archiveTimeoutSeconds: 0 })).toBeNull();
});

test("the timeout leaves time for push and retry, and is never below ten seconds", () => {
  expect([undefined, 30, 80, 130, 300].map(archiveTimeoutFor)).toEqual([undefined, 10, 10, 60, 230]);
});

test("an objective of at least 80 seconds is met by the timeout that follows from it", () => {
  for (const rpoSeconds of [80, 81, 100, 599, 3600]) {
    expect(worstCaseRpo({ archiveTimeoutSeconds: archiveTimeoutFor(rpoSeconds) })?.totalSeconds).toBeLessThanOrEqual(
      rpoSeconds,
    );
  }
});
