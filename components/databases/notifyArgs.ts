/** Targets of notifications: arguments of a host, and the fields of the file that the verb `notify` reads. */
import type * as pulumi from "@pulumi/pulumi";

/** Kinds of notification targets. */
export const NotifyType = {
  Slack: "slack",
  Ntfy: "ntfy",
  Telegram: "telegram",
  Discord: "discord",
  /** Microsoft Teams, by a workflow. */
  Teams: "teams",
  Healthchecks: "healthchecks",
  Alertmanager: "alertmanager",
  Webhook: "webhook",
  Email: "email",
} as const;
export type NotifyType = (typeof NotifyType)[keyof typeof NotifyType];

/** Events of notifications. */
export const NotifyEvent = {
  /** A unit has started. */
  Start: "start",
  /** It has succeeded. */
  Success: "success",
  Failure: "failure",
  /** A fire drill has ended, with its result. */
  Drill: "drill",
  /** A backup or the WAL of a repository is too old (`maintenance.stale`, `staleCheck`). */
  Stale: "stale",
  /** Sent by hand: `pgbackstop notify --event=test`. */
  Test: "test",
} as const;
export type NotifyEvent = (typeof NotifyEvent)[keyof typeof NotifyEvent];

/** Encryption of the connection to a mail server. */
export const MailSecurity = {
  StartTls: "starttls",
  Tls: "tls",
  None: "none",
} as const;
export type MailSecurity = (typeof MailSecurity)[keyof typeof MailSecurity];

/** A notification target. Each type takes the fields of the verb `notify`; all values are secret. */
export interface NotifyTargetArgs {
  /** Kind of target. */
  type: pulumi.Input<NotifyType>;
  /** Name in the log. If omitted, the type. */
  name?: pulumi.Input<string>;
  /** Address of the target. @for slack ntfy discord teams healthchecks alertmanager webhook @required */
  url?: pulumi.Input<string>;
  /** Topic at ntfy. @for ntfy @required */
  topic?: pulumi.Input<string>;
  /** Token of the bot, as BotFather gives it. @for telegram @required */
  botToken?: pulumi.Input<string>;
  /** Number of the chat, or a channel's `@name`. @for telegram @required @example "-1001234567890" */
  chatId?: pulumi.Input<string>;
  /** Topic of a chat with topics. @for telegram @minimum 1 */
  threadId?: pulumi.Input<number>;
  /** Address of a Bot API server of your own. @for telegram @default "https://api.telegram.org" */
  apiUrl?: pulumi.Input<string>;
  /** Access token. @for ntfy alertmanager webhook */
  token?: pulumi.Input<string>;
  /** Account. @for ntfy alertmanager email */
  user?: pulumi.Input<string>;
  /** Password of that account. @for ntfy alertmanager email */
  password?: pulumi.Input<string>;
  /** HMAC key that signs what a webhook gets. @for webhook */
  hmacSecret?: pulumi.Input<string>;
  /** Mail server. @for email @required */
  host?: pulumi.Input<string>;
  /** Port of the mail server. @for email @minimum 1 @maximum 65535 @default of `security`: 587, 465 or 25 */
  port?: pulumi.Input<number>;
  /** How the connection to the mail server is encrypted. @for email @default "starttls" */
  security?: pulumi.Input<MailSecurity>;
  /** Sender of the mail. @for email @required */
  from?: pulumi.Input<string>;
  /** Recipients of the mail. @for email @required @minItems 1 */
  to?: pulumi.Input<string>[];
  /** File on the host with certificate authorities besides the system's. */
  caFile?: pulumi.Input<string>;
  /** Units to report. If omitted, all. @example ["pgbackstop-main-full.service"] */
  units?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Events to send. If omitted, those that suit the type: healthchecks gets start, success and failure, a webhook
   * everything, Alertmanager all but start; the others failures, drills and stale backups.
   */
  events?: pulumi.Input<pulumi.Input<NotifyEvent>[]>;
}

/**
 * Notification targets: set one of the fields. Every failing unit reports its failure. Backups, expiry, verification,
 * repair and drills report start and success, and drills their result, if a target wants them. Notifications never
 * delay or fail the work that they report.
 */
export interface HostNotifyArgs {
  /** Targets, declared here. @maxItems 32 */
  targets?: NotifyTargetArgs[];
  /** An existing file on the host, in the form of the verb `notify`. @example "/run/secrets/notify.json" */
  existingFile?: pulumi.Input<string>;
}
