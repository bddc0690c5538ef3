/** Each service's request for a notification, as its documentation says. Pure. */
import { createHmac } from "node:crypto";
import { discordMessage, teamsMessage, telegramMessage } from "./chats";
import type { Notification } from "./message";
import type { WebTarget } from "./targets";
import type { WebRequest } from "../web/post";

/** healthchecks.io takes up to 100 kB. */
const BODY_CHARS_MAX = 10_000;
/**
 * How long an alert lasts when nothing resolves it. Alertmanager reports its end as a recovery, so it must outlast the
 * pause of any usual schedule: a month.
 */
const ALERT_MS = 35 * 24 * 3600_000;
const JSON_TYPE = { "content-type": "application/json" };
const ALERT_NAMES: Readonly<Record<Notification["event"], string>> = {
  start: "PgbackstopUnitFailed",
  success: "PgbackstopUnitFailed",
  failure: "PgbackstopUnitFailed",
  drill: "PgbackstopDrillFailed",
  stale: "PgbackstopBackupStale",
  test: "PgbackstopTest",
};

export function requestOf(target: WebTarget, notification: Notification): WebRequest {
  const url = target.url.reveal();
  const authorization = authorizationOf(target);
  const auth = authorization === null ? {} : { authorization };
  switch (target.type) {
    case "slack":
      return { url, headers: JSON_TYPE, body: JSON.stringify({ text: slackText(notification) }) };
    case "ntfy":
      return { url, headers: { ...JSON_TYPE, ...auth }, body: JSON.stringify(ntfyMessage(target.topic, notification)) };
    case "telegram": {
      // The token is a part of the path.
      const address = `${url.replace(/\/+$/, "")}/bot${target.botToken?.reveal() ?? ""}/sendMessage`;
      const message = telegramMessage(target.chatId, target.threadId, notification);
      return { url: address, headers: JSON_TYPE, body: JSON.stringify(message) };
    }
    case "discord":
      return { url, headers: JSON_TYPE, body: JSON.stringify(discordMessage(notification)) };
    case "teams":
      return { url, headers: JSON_TYPE, body: JSON.stringify(teamsMessage(notification)) };
    case "healthchecks":
      return {
        url: pingUrl(url, notification),
        headers: { "content-type": "text/plain; charset=utf-8" },
        body: plainText(notification),
      };
    case "alertmanager":
      return {
        url: `${url.replace(/\/+$/, "")}/api/v2/alerts`,
        headers: { ...JSON_TYPE, ...auth },
        body: JSON.stringify(alertsOf(notification)),
      };
    case "webhook": {
      const body = JSON.stringify(fieldsOf(notification));
      return { url, headers: { ...JSON_TYPE, ...auth, ...signature(target, notification, body) }, body };
    }
  }
}

export function plainText({ lines, title }: Notification): string {
  return `${[title, ...lines].join("\n")}\n`.slice(0, BODY_CHARS_MAX);
}

function authorizationOf({ password, token, user }: WebTarget): string | null {
  if (token !== undefined) return `Bearer ${token.reveal()}`;
  if (user === undefined) return null;
  return `Basic ${Buffer.from(`${user}:${password?.reveal() ?? ""}`).toString("base64")}`;
}

/** Slack reserves three characters. */
function slackText({ lines, ok, title }: Notification): string {
  const escaped = (text: string): string =>
    text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return [`${ok ? ":white_check_mark:" : ":rotating_light:"} *${escaped(title)}*`, ...lines.map(escaped)]
    .join("\n")
    .slice(0, BODY_CHARS_MAX);
}

/** To the server's root, as JSON: headers hold ASCII only. */
function ntfyMessage(topic: string, { event, lines, ok, title }: Notification): object {
  const priority = ok ? (event === "test" ? 3 : 2) : 4;
  return {
    topic,
    title,
    message: lines.join("\n").slice(0, 4000),
    priority,
    tags: [ok ? "white_check_mark" : "rotating_light"],
  };
}

/** `rid`, the invocation's id, pairs a run's start with its end. */
function pingUrl(url: string, { event, facts, ok }: Notification): string {
  const suffix = event === "start" ? "/start" : event === "test" ? "/log" : ok ? "" : "/fail";
  const [address = "", query] = url.split("?");
  const id = facts?.invocationId ?? "";
  const rid = /^[0-9a-f]{32}$/.test(id)
    ? `rid=${id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")}`
    : "";
  const parameters = [query ?? "", event === "test" ? "" : rid].filter((parameter) => parameter !== "");
  return `${address.replace(/\/+$/, "")}${suffix}${parameters.length === 0 ? "" : `?${parameters.join("&")}`}`;
}

/**
 * A success ends the alert of the same labels. A drill of one repository says nothing about another one, but it ends
 * the alert of a drill that died without a record.
 */
function alertsOf(notification: Notification): object[] {
  const { event, ok, repo } = notification;
  const repos = repo === null ? [null] : ok && event === "drill" ? [repo, null] : [repo];
  return repos.map((key) => alertOf(notification, key));
}

function alertOf({ atMs, event, host, lines, ok, stanza, title, unit }: Notification, repo: number | null): object {
  const isOver = ok && event !== "test";
  return {
    labels: {
      alertname: ALERT_NAMES[event],
      instance: host,
      severity: event === "test" ? "info" : "critical",
      stanza,
      ...(unit === "" ? {} : { unit }),
      ...(repo === null ? {} : { repo_key: String(repo) }),
    },
    annotations: { summary: title, description: lines.join("\n") },
    startsAt: new Date(isOver ? atMs - 1000 : atMs).toISOString(),
    endsAt: new Date(isOver ? atMs : atMs + (event === "test" ? 60_000 : ALERT_MS)).toISOString(),
  };
}

/** Version 1; fields are only added. */
function fieldsOf({ atMs, event, facts, host, lines, ok, stanza, title, unit }: Notification): object {
  return {
    version: 1,
    event,
    ok,
    stanza,
    host,
    unit,
    unitFacts: facts,
    at: new Date(atMs).toISOString(),
    title,
    lines,
  };
}

/** HMAC-SHA-256 of `<timestamp>.<body>`: the receiver can refuse forged and repeated messages. */
function signature({ hmacSecret }: WebTarget, { atMs }: Notification, body: string): Record<string, string> {
  if (hmacSecret === undefined) return {};
  const timestamp = String(Math.floor(atMs / 1000));
  const digest = createHmac("sha256", hmacSecret.reveal()).update(`${timestamp}.${body}`).digest("hex");
  return { "x-pgbackstop-timestamp": timestamp, "x-pgbackstop-signature": `sha256=${digest}` };
}
