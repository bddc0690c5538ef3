/**
 * Messages of chat services. A notification's text may contain anything that a host, a unit or a repository is called:
 * nothing of it is markup, mentions anybody, or exceeds the service's limit. Pure.
 */
import type { Notification } from "./message";

/** Telegram's `text`, Discord's `content` and `description`, in UTF-16 units: never fewer than the characters. */
const TELEGRAM_UNITS_MAX = 4096;
const DISCORD_CONTENT_UNITS_MAX = 2000;
const DISCORD_DESCRIPTION_UNITS_MAX = 4096;
/** Teams refuses 28 KB, some senders saw 21 KB refused: these make at most 20 KB, of three bytes for each unit. */
const TEAMS_TITLE_UNITS_MAX = 500;
const TEAMS_UNITS_MAX = 4000;
const TEAMS_LINES_MAX = 60;
const GREEN = 0x2e_a0_43;
const RED = 0xd1_24_2f;
/** Everything that Discord's Markdown gives a meaning, also at the start of a line. */
const DISCORD_MARKUP = /^[\\*_~`|<>[\]():@#.-]$/;

/** Without `parse_mode`, so that the text is no markup. Good news arrive without a sound. */
export function telegramMessage(chatId: string, threadId: number | undefined, notification: Notification): object {
  const text = [`${markOf(notification)} ${titleOf(notification)}`, ...linesOf(notification)].join("\n");
  return {
    chat_id: chatId,
    ...(threadId === undefined ? {} : { message_thread_id: threadId }),
    text: limited(withoutMentions(text), TELEGRAM_UNITS_MAX),
    disable_notification: notification.ok && notification.event !== "test",
    link_preview_options: { is_disabled: true },
  };
}

/** The title as content, because a phone shows no embed in its notification. */
export function discordMessage(notification: Notification): object {
  const title = limited(titleOf(notification), DISCORD_CONTENT_UNITS_MAX - 10, withoutMarkup);
  const description = limited(linesOf(notification).join("\n"), DISCORD_DESCRIPTION_UNITS_MAX, withoutMarkup);
  return {
    content: `${markOf(notification)} **${title}**`,
    ...(description === "" ? {} : { embeds: [{ description, color: notification.ok ? GREEN : RED }] }),
    allowed_mentions: { parse: [] },
  };
}

/** An Adaptive Card of text runs, in which Markdown has no meaning; it has one in text blocks. */
export function teamsMessage(notification: Notification): object {
  const lines = limited(linesOf(notification).join("\n"), TEAMS_UNITS_MAX).split("\n");
  const shown = lines.length > TEAMS_LINES_MAX ? [...lines.slice(0, TEAMS_LINES_MAX - 1), "…"] : lines;
  const title = limited(`${markOf(notification)} ${titleOf(notification)}`, TEAMS_TITLE_UNITS_MAX);
  const color = notification.ok ? "good" : "attention";
  const content = {
    $schema: "http://adaptivecards.io/schemas/adaptive-card.json",
    type: "AdaptiveCard",
    version: "1.4",
    msteams: { width: "Full" },
    body: [
      textRun(title, { weight: "bolder", size: "medium", color }, {}),
      ...shown.filter((line) => line !== "").map((line) => textRun(line, {}, { spacing: "small" })),
    ],
  };
  return {
    type: "message",
    attachments: [{ contentType: "application/vnd.microsoft.card.adaptive", contentUrl: null, content }],
  };
}

function textRun(text: string, style: object, block: object): object {
  return { type: "RichTextBlock", inlines: [{ type: "TextRun", text, ...style }], ...block };
}

function markOf({ ok }: Notification): string {
  return ok ? "✅" : "🚨";
}

function titleOf({ title }: Notification): string {
  return readable(title);
}

function linesOf({ lines }: Notification): string[] {
  return lines
    .flatMap((line) => line.split("\n"))
    .map(readable)
    .filter((line) => line !== "");
}

/** Control characters and halves of characters make a body that services refuse. */
function readable(text: string): string {
  return text
    .replaceAll(/\p{Cc}/gu, " ")
    .replaceAll(/\p{Cs}/gu, "\uFFFD")
    .trimEnd();
}

/** Telegram makes a mention of each `@name`, also in plain text: a word joiner keeps it from calling anybody. */
function withoutMentions(text: string): string {
  return text.replaceAll(/(?<!\w)@(?=\w)/g, "@\u2060");
}

function withoutMarkup(char: string): string {
  return DISCORD_MARKUP.test(char) ? `\\${char}` : char;
}

/** At most so many UTF-16 units, of whole characters. @param shown what is sent for a character */
function limited(text: string, unitsMax: number, shown = (char: string): string => char): string {
  const chars = Array.from(text, shown);
  const whole = chars.join("");
  if (whole.length <= unitsMax) return whole;
  let units = 1;
  const end = chars.findIndex((char) => {
    units += char.length;
    return units > unitsMax;
  });
  return `${chars.slice(0, end).join("")}…`;
}
