import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { LIMIT_NAMES, limitsBy } from "../../../../runtime/format/page/pgControl";
import { RECOVERY_HEAD } from "../../../../runtime/operations/restore/recovery";
import {
  guardsOf,
  higherLimits,
  NEUTRAL,
  withGuards,
  withLimits,
  withoutGuards,
} from "../../../../runtime/operations/restore/recoveryGuards";
import { settingIn } from "../../../../runtime/operations/shared/settingsText";
import { temporaryFolder } from "../../repository/support";

const NONE: ReadonlySet<string> = new Set();
const LIMITS = limitsBy((_, index) => 100 * (index + 1));
const guards = (change: Partial<Parameters<typeof guardsOf>[0]>): Readonly<Record<string, string>> =>
  guardsOf({ type: "default", pauses: false, own: NONE, texts: [], limits: LIMITS, ...change });

describe("the settings of a recovery", () => {
  test("have no effect of another recovery or of a standby, wherever the configuration is", () => {
    for (const texts of [null, [], ["recovery_min_apply_delay = '1h'\n"]])
      expect(guards({ texts })).toMatchObject(NEUTRAL);
  });

  test.each(LIMIT_NAMES)("have at least the %s of WAL", (name) => {
    const needed = String(LIMITS[name]);
    const withOnly = (value: number): string => `${name} = ${value}\n`;
    expect(guards({ texts: [withOnly(LIMITS[name] - 1)] })[name]).toBe(needed);
    for (const value of [LIMITS[name], LIMITS[name] + 1])
      expect(guards({ texts: [withOnly(value)] })).not.toHaveProperty(name);
    // The last line counts, and a configuration that is unknown may have more.
    expect(guards({ texts: [withOnly(1), withOnly(LIMITS[name])] })).not.toHaveProperty(name);
    expect(guards({ texts: null })).not.toHaveProperty(name);
  });

  test("let a recovery pause at its target although hot_standby is off", () => {
    expect(guards({ type: "time", pauses: true }).hot_standby).toBe("on");
    expect(guards({ type: "time" })).not.toHaveProperty("hot_standby");
  });

  test("leave to a standby its delay and commands, and to a user what was asked for", () => {
    const names = Object.keys(guards({ type: "standby", limits: limitsBy(() => 0) }));
    expect(names).toEqual(Object.keys(NEUTRAL).filter((name) => name.startsWith("recovery_target")));
    expect(guards({ own: new Set(["recovery_min_apply_delay", "recovery_target_time"]) })).not.toHaveProperty(
      "recovery_min_apply_delay",
    );
    expect(guards({ type: "none" })).toEqual({});
  });

  test("are removed by the command that PostgreSQL runs at the end, and nothing else", () => {
    const path = join(temporaryFolder(), "postgresql.auto.conf");
    const before = "work_mem = '5MB'\nrecovery_min_apply_delay = '1h'\n";
    const text = withLimits(withGuards(before, guards({})), { max_connections: 300 });
    expect(settingIn("max_connections", [text])).toBe("300");
    expect(settingIn("recovery_min_apply_delay", [text])).toBe("0");
    writeFileSync(path, `${text}work_mem = '6MB'\n`);
    execFileSync("/bin/sh", ["-c", settingIn("recovery_end_command", [text]) ?? ""], { cwd: join(path, "..") });
    expect(readFileSync(path, "utf8")).toBe(`${before}work_mem = '6MB'\n`);
    expect(withoutGuards(text)).toBe(before);
  });

  test("are removed after ALTER SYSTEM, which keeps no comment, and what it set stays", () => {
    const path = join(temporaryFolder(), "postgresql.auto.conf");
    const before = ["work_mem = '5MB'", "recovery_min_apply_delay = '1h'"];
    const text = withLimits(withGuards(`${before.join("\n")}\n`, guards({})), { max_connections: 300 });
    // Removes each line of the name, and appends the new one.
    const isKept = (line: string): boolean => !/^(#|$|max_connections|archive_cleanup_command)/.test(line);
    const set = ["max_connections = '300'", "archive_cleanup_command = 'mine'"];
    writeFileSync(path, `# Do not edit\n${[...text.split("\n").filter(isKept), ...set].join("\n")}\n`);
    execFileSync("/bin/sh", ["-c", settingIn("recovery_end_command", [text]) ?? ""], { cwd: join(path, "..") });
    expect(readFileSync(path, "utf8").trimEnd().split("\n")).toEqual(["# Do not edit", ...before, ...set]);
  });

  test("come before the target, after which PostgreSQL refuses even an empty one", () => {
    const target = "recovery_target_time = '2026-11-30'\n";
    const text = withGuards(
      `a = '1'\n${RECOVERY_HEAD} now\n${target}`,
      guards({ own: new Set(["recovery_target_time"]) }),
    );
    expect(text.trimEnd().split("\n").at(-1)).toBe(target.trimEnd());
    expect(withLimits(text, { max_connections: 9 }).trimEnd().split("\n").at(-1)).toBe(target.trimEnd());
    expect(text.indexOf("recovery_target_name")).toBeGreaterThan(text.indexOf("a = '1'"));
  });

  test("grow with what WAL needs, and stay in one place", () => {
    const first = withLimits("a = '1'\n", { max_connections: 200 });
    const second = withLimits(first, { max_connections: 300, max_wal_senders: 20 });
    expect(second.match(/max_connections/g)).toHaveLength(1);
    expect(settingIn("max_connections", [second])).toBe("300");
    expect(settingIn("recovery_end_command", [second])).toMatch(/^sed /);
    // A command that the user asked for stays.
    expect(settingIn("recovery_end_command", [withLimits("recovery_end_command = 'mine'\n", {})])).toBe("mine");
    expect(
      higherLimits(
        limitsBy(() => 5),
        { ...limitsBy(() => 5), max_wal_senders: 4 },
      ),
    ).toEqual({ max_wal_senders: 5 });
  });
});
