import { describe, expect, test } from "vitest";
import { monitoredUnit, ownUnit, parseShown, showUnit } from "../../../runtime/local/systemdUnit";

describe("an ended unit", () => {
  test("is described by the environment of systemd 251 and later", () => {
    const env = {
      MONITOR_UNIT: "a.service",
      MONITOR_SERVICE_RESULT: "signal",
      MONITOR_EXIT_STATUS: "KILL",
      MONITOR_INVOCATION_ID: "ab",
    };
    expect(monitoredUnit(env)).toEqual({
      unit: "a.service",
      facts: { result: "signal", status: "KILL", invocationId: "ab" },
    });
    expect(monitoredUnit({ INVOCATION_ID: "ab" })).toBeNull();
  });

  test("is described by systemctl show before", () => {
    const text = "LoadState=loaded\nResult=exit-code\nExecMainStatus=49\nInvocationID=cd\n";
    expect(parseShown(text)).toEqual({ result: "exit-code", status: "49", invocationId: "cd" });
    expect(parseShown("LoadState=not-found\nResult=success\n")).toBeNull();
  });

  test("is not queried by an invalid name", async () => {
    expect(await showUnit("--all; reboot")).toBeNull();
  });
});

test("a process of a unit knows its own run", () => {
  expect(ownUnit({ INVOCATION_ID: "ab" })).toEqual({ result: "success", status: "", invocationId: "ab" });
  expect(ownUnit({ INVOCATION_ID: "ab", SERVICE_RESULT: "timeout", EXIT_STATUS: "TERM" })).toEqual({
    result: "timeout",
    status: "TERM",
    invocationId: "ab",
  });
  expect(ownUnit({})).toBeNull();
});
