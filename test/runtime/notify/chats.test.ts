import { describe, expect, test } from "vitest";
import { discordMessage, teamsMessage, telegramMessage } from "../../../runtime/notify/chats";
import { type Notification, notificationOf } from "../../../runtime/notify/message";
import { TEST_TIME_MS } from "../../harness/context";
import * as fc from "../../harness/properties";

const FAILURE = notificationOf({
  event: "failure",
  stanza: "main",
  host: "db1",
  unit: "pgbackstop-main-full.service",
  facts: { result: "exit-code", status: "50", invocationId: "0123456789abcdef0123456789abcdef" },
  drill: null,
  atMs: TEST_TIME_MS,
});
const TITLE = "pgbackstop-main-full.service failed on db1";
const LINES = [
  "stanza: main",
  "result: exit-code, status 50 (LockAcquireError)",
  "log: journalctl _SYSTEMD_INVOCATION_ID=0123456789abcdef0123456789abcdef",
  "state: pgbackstop status --stanza=main",
];

describe("golden messages", () => {
  test("Telegram: plain text, and no sound for good news", () => {
    expect(telegramMessage("-1001234567890", 7, FAILURE)).toEqual({
      chat_id: "-1001234567890",
      message_thread_id: 7,
      text: [`🚨 ${TITLE}`, ...LINES].join("\n"),
      disable_notification: false,
      link_preview_options: { is_disabled: true },
    });
    const good: Notification = { ...FAILURE, event: "success", ok: true };
    expect(telegramMessage("@ops", undefined, good)).toMatchObject({ disable_notification: true });
    expect(telegramMessage("@ops", undefined, good)).not.toHaveProperty("message_thread_id");
    expect(telegramMessage("@ops", undefined, { ...good, event: "test" })).toMatchObject({
      disable_notification: false,
    });
  });

  test("Discord: the title as content, the lines in a coloured embed, and nobody is mentioned", () => {
    expect(discordMessage(FAILURE)).toEqual({
      content: "🚨 **pgbackstop\\-main\\-full\\.service failed on db1**",
      embeds: [
        {
          description: [
            "stanza\\: main",
            "result\\: exit\\-code, status 50 \\(LockAcquireError\\)",
            "log\\: journalctl \\_SYSTEMD\\_INVOCATION\\_ID=0123456789abcdef0123456789abcdef",
            "state\\: pgbackstop status \\-\\-stanza=main",
          ].join("\n"),
          color: 0xd1242f,
        },
      ],
      allowed_mentions: { parse: [] },
    });
    expect(discordMessage({ ...FAILURE, ok: true })).toMatchObject({ embeds: [{ color: 0x2ea043 }] });
    // Discord refuses an embed without text.
    expect(discordMessage({ ...FAILURE, lines: ["", "\u0000"] })).not.toHaveProperty("embeds");
  });

  test("Teams: an Adaptive Card of text runs", () => {
    const line = (text: string): object => ({
      type: "RichTextBlock",
      inlines: [{ type: "TextRun", text }],
      spacing: "small",
    });
    expect(teamsMessage(FAILURE)).toEqual({
      type: "message",
      attachments: [
        {
          contentType: "application/vnd.microsoft.card.adaptive",
          contentUrl: null,
          content: {
            $schema: "http://adaptivecards.io/schemas/adaptive-card.json",
            type: "AdaptiveCard",
            version: "1.4",
            msteams: { width: "Full" },
            body: [
              {
                type: "RichTextBlock",
                inlines: [
                  { type: "TextRun", text: `🚨 ${TITLE}`, weight: "bolder", size: "medium", color: "attention" },
                ],
              },
              ...LINES.map(line),
            ],
          },
        },
      ],
    });
  });
});

/** Characters with a meaning, and any others. */
const unit = fc.oneof(
  fc.constantFrom(...'\\*_~`|<>[]():@#.-"\n\r\t\u0000\ud83d', "🚨", "@everyone", "](https://x)", "a"),
  fc.string({ minLength: 1, maxLength: 1, unit: "binary" }),
);
const text = (unitsMax: number): fc.Arbitrary<string> => fc.string({ unit, maxLength: unitsMax, size: "max" });
const manyLines = fc.oneof(fc.array(text(6000), { maxLength: 3 }), fc.array(text(50), { maxLength: 400, size: "max" }));
const notification = fc.record({ title: text(3000), lines: manyLines, ok: fc.boolean() });
/** To shrink such long texts takes minutes. */
const RUNS = { numRuns: 25, endOnFailure: true };
const given = (parts: { title: string; lines: string[]; ok: boolean }): Notification => ({ ...FAILURE, ...parts });

/** Discord shows a backslash's next character as it is. */
const unescaped = (shown: string): string => shown.replaceAll(/\\(.)/gsu, "$1");
const MARKUP = /(?<!\\)[*_~`|<>[\]():@#]/u;

// claim: docs/notifications.md: a message to a chat is within the service's limit, mentions nobody and has no markup,
//   whatever the event contains
describe("whatever a notification contains", () => {
  test("Telegram gets at most 4096 units of whole characters, and no mention", () => {
    fc.assert(
      fc.property(notification, (parts) => {
        const sent = JSON.parse(JSON.stringify(telegramMessage("-1", undefined, given(parts)))) as { text: string };
        expect(sent.text.length).toBeLessThanOrEqual(4096);
        expect(sent.text).not.toMatch(/\p{Cs}|\0/u);
        expect(sent.text).not.toMatch(/(?<!\w)@\w/);
      }),
      RUNS,
    );
  });

  test("Discord gets content and embed within their limits, escaped so that they show the text", () => {
    fc.assert(
      fc.property(notification, (parts) => {
        const { content, embeds = [] } = discordMessage(given(parts)) as {
          content: string;
          embeds?: { description: string }[];
        };
        const title = content.replace(/^(✅|🚨) \*\*/u, "").replace(/\*\*$/, "");
        const description = embeds[0]?.description ?? "";
        expect(content.length).toBeLessThanOrEqual(2000);
        expect(description.length).toBeLessThanOrEqual(4096);
        for (const shown of [title, description]) {
          expect(shown.replaceAll(/\\\\/g, "")).not.toMatch(MARKUP);
          expect(shown).not.toMatch(/\p{Cs}|\0/u);
        }
        const readable = parts.title
          .replaceAll(/\p{Cc}/gu, " ")
          .replaceAll(/\p{Cs}/gu, "\uFFFD")
          .trimEnd();
        expect(readable.startsWith(unescaped(title).replace(/…$/, ""))).toBe(true);
      }),
      RUNS,
    );
  });

  test("Teams gets a card of less than 21 KB, whose runs all have text", () => {
    fc.assert(
      fc.property(notification, (parts) => {
        const body = JSON.stringify(teamsMessage(given(parts)));
        expect(Buffer.byteLength(body)).toBeLessThan(21_000);
        const runs = [...body.matchAll(/"text":"((?:[^"\\]|\\.)*)"/g)].map(([, run = ""]) => run);
        expect(runs.length).toBeGreaterThan(0);
        expect(runs).not.toContain("");
        expect(body).not.toMatch(/\p{Cs}|\\ud[89a-f]|\\u0000/u);
      }),
      RUNS,
    );
  });

  test("no message is cut before its limit", () => {
    const long = given({ title: "a".repeat(9000), lines: ["-".repeat(9000)], ok: false });
    const telegram = telegramMessage("-1", undefined, long) as { text: string };
    expect(telegram.text).toHaveLength(4096);
    expect(telegram.text.endsWith("a…")).toBe(true);
    const { content, embeds } = discordMessage(long) as { content: string; embeds: { description: string }[] };
    expect(content).toHaveLength(1997);
    // The next character would be an escaped one.
    expect(embeds[0]?.description).toHaveLength(4095);
    const fits = given({ title: "a", lines: ["a".repeat(4096 - "🚨 a\n".length)], ok: false });
    expect((telegramMessage("-1", undefined, fits) as { text: string }).text).toMatch(/^🚨 a\na{4091}$/u);
  });

  test("the worst case of Teams: three bytes a character, quotes, and many lines", () => {
    for (const lines of [
      ["€".repeat(9000)],
      ['"'.repeat(9000)],
      Array<string>(9000).fill("€"),
      Array<string>(99).fill("€".repeat(99)),
    ])
      expect(
        Buffer.byteLength(JSON.stringify(teamsMessage({ ...FAILURE, title: "€".repeat(900), lines }))),
      ).toBeLessThan(21_000);
  });
});
