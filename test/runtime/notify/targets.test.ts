import { describe, expect, test } from "vitest";
import { BackupError } from "../../../runtime/base/errors";
import { parseTargets } from "../../../runtime/notify/targets";
import { VERSION } from "../../../runtime/version";

const EMAIL = { type: "email", host: "mail.example.org", from: "a@example.org", to: ["b@example.org"] };
const TELEGRAM = { type: "telegram", botToken: "123:geheim", chatId: "-1001234567890" };
const DISCORD = { type: "discord", url: "https://discord.com/api/webhooks/1/geheim" };
const SLACK = { type: "slack", url: "https://hooks.slack.com/services/x" };
const noWarning = (text: string): void => expect.fail(text);
const parse = (target: object) =>
  parseTargets(JSON.stringify({ version: 1, package: VERSION, targets: [target] }), "notify.json", noWarning)[0];

describe("targets", () => {
  test("have events and ports that fit their kind", () => {
    expect(parse({ type: "slack", url: "https://hooks.slack.com/services/x" })).toMatchObject({
      name: "slack",
      events: ["failure", "drill", "stale", "test"],
    });
    expect(parse({ type: "healthchecks", url: "https://hc-ping.com/x" })?.events).toContain("start");
    expect(parse(EMAIL)).toMatchObject({ port: 587, security: "starttls" });
    expect(parse({ ...TELEGRAM, threadId: 7 })).toMatchObject({ chatId: TELEGRAM.chatId, threadId: 7 });
    expect(parse({ ...TELEGRAM, chatId: "@ops_room" })?.events).toEqual(["failure", "drill", "stale", "test"]);
    expect(parse({ ...EMAIL, security: "tls" })).toMatchObject({ port: 465 });
  });

  test("show no secret when they are printed", () => {
    const ntfy = { type: "ntfy", url: "https://ntfy.sh/geheim", topic: "t", token: "tk_geheim" };
    for (const target of [ntfy, TELEGRAM, DISCORD]) expect(JSON.stringify(parse(target))).not.toContain("geheim");
  });

  const refused: readonly [string, object, string][] = [
    ["Telegram without a chat", { type: "telegram", botToken: "1:geheim" }, "targets[0].chatId"],
    ["Telegram without a token", { type: "telegram", chatId: "-1" }, "targets[0].botToken"],
    ["Telegram's chat by its title", { ...TELEGRAM, chatId: "geheim chat" }, "targets[0].chatId"],
    ["Telegram's chat as a number", { ...TELEGRAM, chatId: -1001 }, "targets[0].chatId"],
    ["the path in place of a bot's token", { ...TELEGRAM, botToken: "bot1:geheim" }, "targets[0].botToken"],
    ["a token in Telegram's address", { ...TELEGRAM, apiUrl: "https://x/bot1:geheim" }, "targets[0].apiUrl"],
    ["an address for Telegram", { ...TELEGRAM, url: "https://geheim" }, "in targets[0]"],
    ["a topic of Telegram as text", { ...TELEGRAM, threadId: "geheim" }, "targets[0].threadId"],
    ["a Discord address for Teams", { ...DISCORD, type: "teams" }, "targets[0].url"],
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
    expect(() => parseTargets("https://hooks.slack.com/geheim", "notify.json", noWarning)).toThrow(
      "notify file 'notify.json' is not valid JSON",
    );
  });

  // claim: docs/upgrading.md: notices are sent in spite of fields and targets that a newer version wrote
  test("of a newer version's file are used without what this version does not know", () => {
    const newer = [
      { ...SLACK, geheim: "geheim" },
      { ...EMAIL, events: ["failure", "geheim"], security: "geheim" },
      { type: "geheim", url: "https://geheim.example" },
    ];
    const read = (version: string, warnings: string[]) =>
      parseTargets(JSON.stringify({ version: 1, package: version, quorum: 2, targets: newer }), "notify.json", (text) =>
        warnings.push(text),
      );
    const warnings: string[] = [];
    expect(read("9.9.9", warnings)).toEqual([
      expect.objectContaining({ type: "slack", name: "slack" }),
      expect.objectContaining({ type: "email", security: "starttls", events: expect.arrayContaining(["stale"]) }),
    ]);
    for (const field of ["unknown field", "targets[1].events", "targets[1].security", "targets[2].type"])
      expect(warnings.join("\n")).toContain(field);
    expect(warnings.join("\n")).not.toContain("geheim");
    expect(warnings.every((text) => text.includes("the file is for version 9.9.9"))).toBe(true);
    for (const version of [VERSION, "0.0.9"]) expect(() => read(version, [])).toThrow("has an unknown field");
  });
});
