/** What somebody can be told, and who wants what unless the file of targets says otherwise: the verb and the units that call it go by one table. Pure. */

export const EVENTS = ["start", "success", "failure", "drill", "test"] as const;
export type NotifyEvent = (typeof EVENTS)[number];

export const TARGET_TYPES = ["slack", "ntfy", "healthchecks", "alertmanager", "webhook", "email"] as const;
export type TargetType = (typeof TARGET_TYPES)[number];

/** What a kind of target is there for: a check that waits for signs of life wants them, an alert wants its end. */
export const DEFAULT_EVENTS: Readonly<Record<TargetType, readonly NotifyEvent[]>> = {
  slack: ["failure", "drill", "test"],
  ntfy: ["failure", "drill", "test"],
  email: ["failure", "drill", "test"],
  healthchecks: ["start", "success", "failure", "test"],
  alertmanager: ["success", "failure", "drill", "test"],
  webhook: ["start", "success", "failure", "drill", "test"],
};
