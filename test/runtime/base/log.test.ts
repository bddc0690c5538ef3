import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fail } from "../../../runtime/base/errors";
import { createLog, type Log, LogLevel, type LogSink, silentLog } from "../../../runtime/base/log";
import { ManualClock } from "../../harness/context";
import { vectorText } from "../format/vectors";

const LEVELS = ["error", "warn", "info", "detail", "debug", "trace"] as const;

function capture(
  sink: Partial<LogSink> = {},
  atMs = Date.UTC(2026, 10, 20, 6, 54, 5, 755),
  processNo = 0,
): { log: Log; text: () => string } {
  let text = "";
  const whole: LogSink = {
    level: "trace",
    format: "text",
    timestamp: true,
    write: (line) => void (text += line),
    ...sink,
  };
  return { log: createLog(new ManualClock(atMs), [whole], processNo), text: () => text };
}

describe("log lines", () => {
  const zone = process.env.TZ;
  beforeAll(() => {
    process.env.TZ = "UTC";
  });
  afterAll(() => {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });

  it("equal stock's line, byte for byte", () => {
    const { log, text } = capture();
    log.info("new backup label = 20261120-065325F");
    expect(vectorText("v2.45/output/backup-r1-full.log.txt").split("\n")).toContain(text().trimEnd());
  });

  it("for each file are made only if a sink takes them", () => {
    let made = 0;
    const line = (): string => `file ${++made}`;
    const quiet = capture({ level: "info" });
    quiet.log.detail(line);
    expect([made, quiet.text()]).toEqual([0, ""]);
    const { log, text } = capture({ level: "detail", timestamp: false });
    log.detail(line);
    expect(text()).toBe("DETAIL: file 1\n");
  });

  it("of several lines are indented as stock's", () => {
    const golden = vectorText("v2.60/output/verify-verbose.log.txt").split("\n");
    const { log, text } = capture({}, Date.UTC(2026, 10, 20, 7, 7, 34, 602));
    log.info("stanza: demo\nstatus: ok");
    expect(golden.slice(1, 3)).toEqual(text().trimEnd().split("\n"));
  });

  it("on stderr have no time, and hints are indented below the text", () => {
    const { log, text } = capture({ timestamp: false });
    log.warn(
      "WAL file '000000010000000000000003' already exists in the repo2 archive with the same checksum\nHINT: this is valid in some recovery scenarios but may also indicate a problem.",
    );
    expect(vectorText("v2.45/output/archive-push-dup-same.log.txt")).toContain(text());
    const other = capture({ timestamp: false });
    other.log.error(
      fail(
        "archiveDuplicate",
        "WAL file '000000010000000000000003' already exists in the repo1 archive with a different checksum",
      ),
    );
    expect(vectorText("v2.45/output/archive-push-dup-diff.log.txt").split("\n")).toContain(other.text().split("\n")[0]);
    // Stock has no such hint, because it has no guide.
    expect(other.text().split("\n")[1]).toBe("       HINT: see troubleshooting: two-writers");
  });

  it("of an error show its code, and its hints on separate lines", () => {
    const { log, text } = capture();
    log.error(fail("fileMissing", "unable to load\nFileMissingError: gone", { hint: ["first.", "second."] }));
    expect(text()).toBe(
      [
        "2026-11-20 06:54:05.755 P00  ERROR: [055]: unable to load",
        "                                    FileMissingError: gone",
        "                                    HINT: first.",
        "                                    HINT: second.",
        "",
      ].join("\n"),
    );
  });

  it("call our own bugs ASSERT and number worker processes", () => {
    const { log, text } = capture({}, undefined, 3);
    log.error(fail("assert", "impossible"));
    expect(text()).toBe("2026-11-20 06:54:05.755 P03 ASSERT: [025]: impossible\n");
  });

  it("reach a sink from its level on", () => {
    for (const level of Object.keys(LogLevel) as (keyof typeof LogLevel)[]) {
      const { log, text } = capture({ level });
      log.error(fail("config", "error"));
      for (const name of LEVELS.slice(1)) log[name as Exclude<(typeof LEVELS)[number], "error">](name);
      expect(text().split("\n").length - 1, level).toBe(LogLevel[level]);
    }
  });

  it("as JSON are one object a line", () => {
    const { log, text } = capture({ format: "json" });
    log.info("two\nlines");
    log.error(fail("access", "refused", { hint: "check the key.", repoIndex: 2 }));
    log.error(fail("term", "stopped"));
    expect(
      text()
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { time: "2026-11-20T06:54:05.755Z", process: 0, level: "info", text: "two\nlines" },
      {
        time: "2026-11-20T06:54:05.755Z",
        process: 0,
        level: "error",
        text: "refused",
        code: 105,
        kind: "AccessError",
        repo: 2,
        hints: ["check the key."],
        troubleshooting: "wrong-keys",
      },
      { time: "2026-11-20T06:54:05.755Z", process: 0, level: "error", text: "stopped", code: 63, kind: "TermError" },
    ]);
  });

  it("can be discarded", () => {
    for (const name of LEVELS.slice(1)) expect(silentLog[name as "info"]("nobody hears")).toBeUndefined();
    expect(silentLog.error(fail("config", "nobody hears"))).toBeUndefined();
  });
});
