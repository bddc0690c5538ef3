/**
 * Delivers one notification to every interested target; targets are independent. Three tries of ten seconds each. No
 * error contains a secret, whatever a server or library says.
 */
import type { Context } from "../base/context";
import { type BackupError, fail, toBackupError } from "../base/errors";
import type { Secret } from "../base/secret";
import type { Notification } from "./message";
import { plainText, requestOf } from "./requests";
import { letterAttempt } from "./smtp";
import type { NotifyTarget } from "./targets";
import { inAttempts, post } from "../web/post";

export interface DeliverParts {
  /** Null when the file does not exist. */
  readFile(path: string): Promise<Uint8Array | null>;
}

export interface Delivery {
  /** Its type, or its name in the file. */
  readonly target: string;
  /** Null on success. */
  readonly error: BackupError | null;
}

/** Shorter ones would redact ordinary words. */
const SECRET_CHARS_MIN = 4;
const STARS = "******";

/** Targets that subscribe to this event of this unit. Pure. */
export function interested(targets: readonly NotifyTarget[], { event, unit }: Notification): readonly NotifyTarget[] {
  return targets.filter(
    ({ events, units }) => events.includes(event) && (units.length === 0 || event === "test" || units.includes(unit)),
  );
}

/** Never throws for a target. */
export function deliver(
  targets: readonly NotifyTarget[],
  notification: Notification,
  parts: DeliverParts,
  ctx: Context,
): Promise<Delivery[]> {
  return Promise.all(
    interested(targets, notification).map(async (target): Promise<Delivery> => {
      try {
        const ca = target.caFile === undefined ? null : await authorityOf(target.caFile, parts);
        await inAttempts(ctx, attemptOf(target, notification, ca, ctx));
        return { target: target.name, error: null };
      } catch (error) {
        return { target: target.name, error: withoutSecrets(target, toBackupError(error)) };
      }
    }),
  );
}

async function authorityOf(path: string, { readFile }: DeliverParts): Promise<Uint8Array> {
  const bytes = await readFile(path);
  if (bytes === null) throw fail("fileMissing", `missing file '${path}' of caFile`, { path });
  return bytes;
}

function attemptOf(
  target: NotifyTarget,
  notification: Notification,
  ca: Uint8Array | null,
  ctx: Context,
): (signal: AbortSignal) => Promise<unknown> {
  if (target.type !== "email") return (signal) => post(requestOf(target, notification), ca, signal);
  const id = `${notification.atMs}-${Buffer.from(ctx.random.bytes(8)).toString("hex")}`;
  const { atMs, host, title } = notification;
  return letterAttempt(target, { subject: title, text: plainText(notification), atMs, id, host }, ca);
}

/** Without the cause, which may quote what was sent. */
function withoutSecrets(target: NotifyTarget, error: BackupError): BackupError {
  const text = secretsOf(target).reduce((line, secret) => line.replaceAll(secret, STARS), error.message);
  return fail(error.kind, `${originOf(target)}: ${text}`, error.hints.length === 0 ? {} : { hint: error.hints });
}

/** Everything that grants access: each part of the URL, passwords, and their encoded forms. */
function secretsOf(target: NotifyTarget): string[] {
  const shown = ({ user = "" }: NotifyTarget, secret: Secret | undefined): string[] => {
    if (secret === undefined) return [];
    const value = secret.reveal();
    return [
      value,
      encodeURIComponent(value),
      ...[value, `\0${user}\0${value}`, `${user}:${value}`].map((text) => Buffer.from(text).toString("base64")),
    ];
  };
  if (target.type === "email") return longest(shown(target, target.password));
  const address = new URL(target.url.reveal());
  const parts = [
    address.href,
    `${address.pathname}${address.search}`,
    address.password,
    ...address.pathname.split("/"),
    // As the address has them, and decoded: an answer may quote either.
    ...address.search.split(/[?&=]/),
    ...address.searchParams.values(),
  ];
  return longest([
    target.url.reveal(),
    ...parts,
    ...[target.token, target.password, target.hmacSecret, target.botToken].flatMap((secret) => shown(target, secret)),
  ]);
}

/** Longest first: one secret may contain another. */
function longest(texts: readonly string[]): string[] {
  return texts.filter((text) => text.length >= SECRET_CHARS_MIN).sort((left, right) => right.length - left.length);
}

/** `https://hooks.slack.com/…`: the host only. */
function originOf(target: NotifyTarget): string {
  if (target.type === "email") return `${target.host}:${target.port}`;
  const { host, protocol } = new URL(target.url.reveal());
  return `${protocol}//${host}/…`;
}
