/** Events and their default subscribers; the verb and the units that call it use one table. Pure. */

export const EVENTS = ["start", "success", "failure", "drill", "test"] as const;
export type NotifyEvent = (typeof EVENTS)[number];

export const TARGET_TYPES = ["slack", "ntfy", "healthchecks", "alertmanager", "webhook", "email"] as const;
export type TargetType = (typeof TARGET_TYPES)[number];

/** A dead man's switch wants every sign of life; an alert also wants the success that ends it. */
export const DEFAULT_EVENTS: Readonly<Record<TargetType, readonly NotifyEvent[]>> = {
  slack: ["failure", "drill", "test"],
  ntfy: ["failure", "drill", "test"],
  email: ["failure", "drill", "test"],
  healthchecks: ["start", "success", "failure", "test"],
  alertmanager: ["success", "failure", "drill", "test"],
  webhook: ["start", "success", "failure", "drill", "test"],
};
