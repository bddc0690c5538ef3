/**
 * One difference between two topologies: path, old and new value, a description, and whether it strengthens or weakens
 * the backups. Pure.
 *
 * Unknown and secret values are never compared: such a change is neutral and says so. Comparisons with an order are
 * antisymmetric: what weakens in one direction strengthens in the other. Only two things weaken both ways: a repository
 * that starts from scratch, and one item of a list in the place of another.
 */
import { isSecret, isUnknown } from "../model/unknown";

export type Effect = "strengthened" | "weakened" | "neutral";
export type Value = string | number | boolean | null;

export interface Change {
  readonly database: string;
  /** Path of the argument if there is one: `repositories.repo1.keepDays`. */
  readonly path: string;
  readonly before: string;
  readonly after: string;
  /** A sentence without a full stop. */
  readonly text: string;
  readonly effect: Effect;
  /** True if either value is unknown or secret, so the effect is unknown. */
  readonly uncertain: boolean;
  /** The key for `acknowledgeWeaker`: path, `=`, new value. */
  readonly acknowledgeAs: string;
  /** The reason from the new topology; weakened changes only. */
  readonly acknowledged?: string;
}

/** Collects the changes of one database. */
export interface Collector {
  /** The larger rank is the stronger one. */
  rank<T extends Value>(path: string, before: T, after: T, rankOf: (value: T) => number, sentence: Sentence<T>): void;
  /** A difference that is neither better nor worse. */
  plain(path: string, before: Value, after: Value, sentence: Sentence<Value>): void;
  add(path: string, before: Value, after: Value, effect: Effect, text: string): void;
  /** A change that cannot be compared because part of it is unknown. */
  uncertain(path: string, before: Value, after: Value, text: string): void;
}

type Sentence<T> = (after: T, before: T) => string;

export function collector(database: string, changes: Change[]): Collector {
  const push = (path: string, before: Value, after: Value, effect: Effect, uncertain: boolean, text: string): void => {
    const shown = { before: valueText(before), after: valueText(after) };
    changes.push({ database, path, ...shown, text, effect, uncertain, acknowledgeAs: `${path}=${shown.after}` });
  };
  const hidden = (path: string, before: Value, after: Value): boolean => {
    if (!isHidden(before) && !isHidden(after)) return false;
    if (sortOf(before) !== sortOf(after)) {
      push(path, before, after, "neutral", true, `${path} was ${valueText(before)}, and is ${valueText(after)}`);
    }
    return true;
  };
  return {
    rank: (path, before, after, rankOf, sentence) => {
      if (before === after || hidden(path, before, after)) return;
      push(path, before, after, effectOf(rankOf(after) - rankOf(before)), false, sentence(after, before));
    },
    plain: (path, before, after, sentence) => {
      if (before === after || hidden(path, before, after)) return;
      push(path, before, after, "neutral", false, sentence(after, before));
    },
    add: (path, before, after, effect, text) => push(path, before, after, effect, false, text),
    uncertain: (path, before, after, text) => push(path, before, after, "neutral", true, text),
  };
}

/** @param step above zero if the backups are better than before */
export function effectOf(step: number): Effect {
  return step > 0 ? "strengthened" : step < 0 ? "weakened" : "neutral";
}

/** Compares fields of one section by their names; an absent one is null. */
export interface SectionCollector<T> {
  rank(field: keyof T & string, rankOf: (value: Value) => number, sentence: Sentence<Value>): void;
  plain(field: keyof T & string, sentence: Sentence<Value>): void;
}

/** @param path of the section */
export function section<T extends object>(to: Collector, path: string, before: T, after: T): SectionCollector<T> {
  const sidesOf = (field: keyof T & string): readonly [path: string, before: Value, after: Value] => [
    `${path}.${field}`,
    (before[field] ?? null) as Value,
    (after[field] ?? null) as Value,
  ];
  return {
    rank: (field, rankOf, sentence) => to.rank(...sidesOf(field), rankOf, sentence),
    plain: (field, sentence) => to.plain(...sidesOf(field), sentence),
  };
}

/** True for a value that must not or cannot be compared. */
export function isHidden(value: unknown): boolean {
  return isUnknown(value) || isSecret(value);
}

/** `none`, `not known yet`, `secret`, or the value itself. */
export function valueText(value: Value | undefined): string {
  if (value === null || value === undefined) return "none";
  if (isSecret(value)) return "secret";
  if (isUnknown(value)) return "not known yet";
  return String(value);
}

/** A list or a section as a value: hidden, none, or known. */
export function listText(list: unknown): Value {
  return typeof list === "string" ? list : list === undefined ? null : "known";
}

/** Two unknown values, or two secrets, count as equal. */
function sortOf(value: Value): string {
  return isHidden(value) ? valueText(value) : "";
}
