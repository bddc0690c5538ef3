import { describe, expect, test } from "vitest";
import { BackupError } from "../../../runtime/base/errors";
import { parseTargets } from "../../../runtime/notify/targets";

const EMAIL = { type: "email", host: "mail.example.org", from: "a@example.org", to: ["b@example.org"] };
const parse = (target: object) => parseTargets(JSON.stringify({ version: 1, targets: [target] }), "notify.json")[0];

describe("targets", () => {
  test("have events and ports that fit their kind", () => {
    expect(parse({ type: "slack", url: "https://hooks.slack.com/services/x" })).toMatchObject({
      name: "slack",
      events: ["failure", "drill", "stale", "test"],
    });
    expect(parse({ type: "healthchecks", url: "https://hc-ping.com/x" })?.events).toContain("start");
    expect(parse(EMAIL)).toMatchObject({ port: 587, security: "starttls" });
    expect(parse({ ...EMAIL, security: "tls" })).toMatchObject({ port: 465 });
  });

  test("show no secret when they are printed", () => {
    const target = parse({ type: "ntfy", url: "https://ntfy.sh/geheim", topic: "t", token: "tk_geheim" });
    expect(JSON.stringify(target)).not.toContain("geheim");
  });

  const refused: readonly [string, object, string][] = [
    ["an unknown kind", { type: "pager" }, "targets[0].type"],
    ["an invalid address", { type: "slack", url: "hooks.slack.com/geheim" }, "targets[0].url"],
    ["a file as an address", { type: "slack", url: "file:///geheim" }, "targets[0].url"],
    ["a field of another kind", { type: "slack", url: "https://a", geheim: "x" }, "in targets[0]"],
    ["an unknown event", { type: "slack", url: "https://a", events: ["geheim"] }, "targets[0].events"],
    ["a line end in an address", { ...EMAIL, to: ["b@example.org\r\nBcc: geheim@example.org"] }, "targets[0].to"],
    ["a blank in an address", { ...EMAIL, to: ["geheim b@example.org"] }, "targets[0].to"],
    [
      "a password without encryption",
      { ...EMAIL, security: "none", user: "u", password: "geheim" },
      "targets[0].security",
    ],
    ["a password without a user", { ...EMAIL, password: "geheim" }, "targets[0].user"],
  ];
  test.each(refused)("refuses %s and names the field, never the value", (_what, target, field) => {
    let thrown: unknown;
    try {
      parse(target);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ kind: "config" });
    const text = thrown instanceof BackupError ? thrown.message : "";
    expect(text).toContain(field);
    expect(text).not.toContain("geheim");
  });

  test("an unknown field is not shown, but the known one that it may mean", () => {
    expect(() => parse({ type: "ntfy", url: "https://ntfy.sh", topik: "t" })).toThrow(
      expect.objectContaining({ hints: ["Did you mean topic?"] }),
    );
  });

  test("a file that is not JSON is not quoted", () => {
    expect(() => parseTargets("https://hooks.slack.com/geheim", "notify.json")).toThrow(
      "notify file 'notify.json' is not valid JSON",
    );
  });
});
