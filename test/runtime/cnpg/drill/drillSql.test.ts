import { describe, expect, test } from "vitest";
import { timeOfCommit } from "../../../../runtime/cnpg/drill/drillSql";
import { endOfHistory } from "../../../../runtime/operations/drill/checks";
import { jobState, kindOfText } from "../../../../runtime/cnpg/restore/clusterEvents";

describe("the end of a recovery", () => {
  test("is in the last line of the timeline's history", () => {
    const two = "1\t0/5000060\tno recovery target specified\n2\t1/A0000028\tbefore 2026-11-21\n";
    expect(endOfHistory(two)).toMatchObject({ timeline: 2, lsn: 0x1a0000028n });
    expect(endOfHistory("1\t0/5000060\tno recovery target specified")).toMatchObject({ timeline: 1, lsn: 0x5000060n });
    expect(endOfHistory("")).toBeNull();
  });

  test("is the time of a commit as pg_walinspect prints it", () => {
    expect(timeOfCommit("2026-11-21 09:04:13.125+00")).toBe(Date.parse("2026-11-21T09:04:13Z") / 1000 + 0.125);
    expect(timeOfCommit("731: 2026-11-21 09:04:13+00; inval msgs: catcache 80")).toBe(
      Date.parse("2026-11-21T09:04:13Z") / 1000,
    );
    expect(timeOfCommit("rels: base/5/16384")).toBeNull();
  });
});

describe("the result of a recovery job", () => {
  test("has the error of the program's own code", () => {
    expect(kindOfText("ERROR: [095]: unable to load backup.info")).toBe("crypto");
    expect(kindOfText("ERROR: [999]: who knows")).toBeNull();
    expect(kindOfText("killed")).toBeNull();
  });

  test("counts its failed pods", () => {
    expect(jobState(null)).toBeNull();
    expect(jobState({})).toEqual({ isDone: false, failedCount: 0, isActive: false });
    expect(jobState({ status: { succeeded: 1, failed: 2, ready: 0 } })).toEqual({
      isDone: true,
      failedCount: 2,
      isActive: false,
    });
  });
});
