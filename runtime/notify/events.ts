/** Events and their default subscribers; the verb and the units that call it use one table. Pure. */

export const EVENTS = ["start", "success", "failure", "drill", "stale", "test"] as const;
export type NotifyEvent = (typeof EVENTS)[number];

export const TARGET_TYPES = [
  "slack",
  "ntfy",
  "telegram",
  "discord",
  "teams",
  "healthchecks",
  "alertmanager",
  "webhook",
  "email",
] as const;
export type TargetType = (typeof TARGET_TYPES)[number];

/** A dead man's switch wants every sign of life; an alert also wants the success that ends it. */
export const DEFAULT_EVENTS: Readonly<Record<TargetType, readonly NotifyEvent[]>> = {
  slack: ["failure", "drill", "stale", "test"],
  ntfy: ["failure", "drill", "stale", "test"],
  telegram: ["failure", "drill", "stale", "test"],
  discord: ["failure", "drill", "stale", "test"],
  teams: ["failure", "drill", "stale", "test"],
  email: ["failure", "drill", "stale", "test"],
  healthchecks: ["start", "success", "failure", "test"],
  alertmanager: ["success", "failure", "drill", "stale", "test"],
  webhook: ["start", "success", "failure", "drill", "stale", "test"],
};
