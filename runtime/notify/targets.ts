/**
 * Targets of notifications: the file `notify.json`. All of it is secret, because a webhook's URL grants access.
 *
 *     {"version":1,"targets":[
 *       {"type":"slack","url":"https://hooks.slack.com/services/…"},
 *       {"type":"ntfy","url":"https://ntfy.sh","topic":"backups","token":"tk_…"},
 *       {"type":"telegram","botToken":"123456789:…","chatId":"-1001234567890"},
 *       {"type":"discord","url":"https://discord.com/api/webhooks/…"},
 *       {"type":"teams","url":"https://….api.powerplatform.com/…&sig=…"},
 *       {"type":"healthchecks","url":"https://hc-ping.com/<uuid>","units":["pgbackstop-main-full.service"]},
 *       {"type":"alertmanager","url":"http://127.0.0.1:9093"},
 *       {"type":"webhook","url":"https://…","hmacSecret":"…"},
 *       {"type":"email","host":"mail.example","security":"starttls","user":"…","password":"…",
 *        "from":"db1@example","to":["ops@example"]}]}
 *
 * NotifyTargetArgs of the components declares the fields. An unknown field or a wrong value is a config error (27) with
 * the field and what is expected, never the value. In a file that a newer version wrote, such a field or target is
 * ignored instead, so that the other targets get their notices. Pure.
 */
import { type BackupError, fail, isError } from "../base/errors";
import { Secret } from "../base/secret";
import { checkDeclared, type Keys, pathText, problemHint, problemText } from "../base/declaredTypes";
import { FILE_DECLARATIONS } from "../base/fileDeclarations";
import { usable } from "../config/usableFile";
import { addressFault, TELEGRAM_API, type WebType } from "./addresses";
import { DEFAULT_EVENTS, type NotifyEvent } from "./events";

interface CommonTarget {
  /** For the log: the type, or its name in the file. */
  readonly name: string;
  readonly events: readonly NotifyEvent[];
  /** Only events of these units; empty means all. */
  readonly units: readonly string[];
  /** Added to the system's authorities. */
  readonly caFile: string | undefined;
}

export interface WebTarget extends CommonTarget {
  readonly type: WebType;
  /** Telegram: of the Bot API's server. */
  readonly url: Secret;
  readonly token: Secret | undefined;
  readonly user: string | undefined;
  readonly password: Secret | undefined;
  /** ntfy. */
  readonly topic: string;
  /** Telegram. */
  readonly botToken: Secret | undefined;
  readonly chatId: string;
  readonly threadId: number | undefined;
  /** Webhook. */
  readonly hmacSecret: Secret | undefined;
}

export interface EmailTarget extends CommonTarget {
  readonly type: "email";
  readonly host: string;
  readonly port: number;
  readonly security: "starttls" | "tls" | "none";
  readonly user: string | undefined;
  readonly password: Secret | undefined;
  readonly from: string;
  readonly to: readonly string[];
}

export type NotifyTarget = WebTarget | EmailTarget;

const EXAMPLE = "docs/notifications.md has an example of each target.";
const EMAIL_PORTS = { starttls: 587, tls: 465, none: 25 } as const;
const ADDRESS = /^[^\s<>@,;:"\\]+@[^\s<>@,;:"\\]+$/;
const LOOPBACK = ["localhost", "127.0.0.1", "::1"];
const BOT_TOKEN = /^\d+:[\w-]+$/;
const CHAT_ID = /^(-?[1-9]\d*|@[A-Za-z]\w*)$/;

/** A target as the file has it, checked: each type has its own fields. */
type FileTarget = { readonly type: NotifyTarget["type"]; readonly events?: readonly NotifyEvent[] } & {
  readonly [field in
    | "name"
    | "url"
    | "topic"
    | "token"
    | "user"
    | "password"
    | "hmacSecret"
    | "botToken"
    | "chatId"
    | "apiUrl"
    | "caFile"]?: string;
} & { readonly [field in "host" | "from"]: string } & {
  readonly threadId?: number;
  readonly port?: number;
  readonly security?: EmailTarget["security"];
  readonly to: readonly string[];
  readonly units?: readonly string[];
};

type WrongFile = (what: string, hint?: readonly string[], field?: Keys) => BackupError;

/** @param warn about what a newer version wrote and this one ignores. @throws config (27) */
export function parseTargets(text: string, fileName: string, warn: (text: string) => void): readonly NotifyTarget[] {
  const wrong: WrongFile = (what, hint = [EXAMPLE], field) => {
    const where = field === undefined ? {} : { field };
    return fail("config", `notify file '${fileName}' ${what}`, { path: fileName, hint, ...where });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // JSON.parse's message quotes the text.
    throw wrong("is not valid JSON");
  }
  return usable(value, { ignores: "newer", warn }, (file) => targetsOf(file, wrong));
}

/** What is wrong with targets of a program, and where: never a value. Null if the runtime can use a file of them. */
export function findTargetsFault(targets: unknown): { readonly field: Keys; readonly fault: string } | null {
  try {
    targetsOf({ targets }, (what, _hint, field = []) => fail("config", what, { field }));
    return null;
  } catch (error) {
    if (!isError(error, "config")) throw error;
    return { field: error.field ?? [], fault: error.message.replace(/^field '[^']*' /, "") };
  }
}

function targetsOf(value: unknown, wrong: WrongFile): readonly NotifyTarget[] {
  const options = { owner: "the file", isSecret: () => true };
  const [problem] = checkDeclared("NotifyFile", value, FILE_DECLARATIONS, options);
  if (problem !== undefined) {
    const { keys, kind } = problem;
    const section = keys.length === 1 ? "" : ` in ${pathText(keys.slice(0, -1))}`;
    // A misplaced value may stand where a name belongs.
    const what = kind === "unknown" ? `has an unknown field${section}` : problemText(problem);
    throw wrong(what, problemHint(problem), keys);
  }
  return (value as { readonly targets: readonly FileTarget[] }).targets.map((target, index) =>
    targetOf(target, (field, expected) =>
      wrong(`field 'targets[${index}].${field}' must be ${expected}`, undefined, ["targets", index, field]),
    ),
  );
}

type Wrong = (field: string, expected: string) => BackupError;

function targetOf(target: FileTarget, wrong: Wrong): NotifyTarget {
  const { caFile, events, name, type, units = [], user } = target;
  const secret = (text: string | undefined): Secret | undefined => (text === undefined ? undefined : new Secret(text));
  const common = { name: name ?? type, events: events ?? DEFAULT_EVENTS[type], units, caFile, user };
  const password = secret(target.password);
  if (type === "email") return { ...common, ...emailOf(target, wrong), type, password };
  const { apiUrl = TELEGRAM_API, hmacSecret, token, topic = "", url = "" } = target;
  const [field, address] = type === "telegram" ? ["apiUrl", apiUrl] : ["url", url];
  const expected = addressFault(type, address);
  if (expected !== null) throw wrong(field, expected);
  return {
    ...common,
    ...chatOf(target, wrong),
    type,
    url: new Secret(address),
    token: secret(token),
    password,
    topic,
    hmacSecret: secret(hmacSecret),
  };
}

function chatOf(
  { botToken, chatId = "", threadId, type }: FileTarget,
  wrong: Wrong,
): Pick<WebTarget, "botToken" | "chatId" | "threadId"> {
  if (type !== "telegram") return { botToken: undefined, chatId, threadId };
  if (botToken === undefined || !BOT_TOKEN.test(botToken))
    throw wrong("botToken", "a bot's token as BotFather gives it: digits, a colon, letters");
  if (!CHAT_ID.test(chatId)) throw wrong("chatId", "a chat's number, as -1001234567890, or a channel's @name");
  return { botToken: new Secret(botToken), chatId, threadId };
}

function emailOf(
  { from, host, password, security = "starttls", to, user, port = EMAIL_PORTS[security] }: FileTarget,
  wrong: Wrong,
): Pick<EmailTarget, "host" | "port" | "security" | "from" | "to"> {
  if ((user === undefined) !== (password === undefined)) throw wrong("user", "given together with password");
  if (user !== undefined && security === "none" && !LOOPBACK.includes(host))
    throw wrong("security", "starttls or tls where a password is sent");
  if (![from, ...to].every((address) => ADDRESS.test(address))) throw wrong("to", "addresses, as from: name@host");
  return { host, port, security, from, to };
}
