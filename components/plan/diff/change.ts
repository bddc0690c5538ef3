/**
 * One difference between two topologies: where, what it was, what it becomes, in words, and whether the backups get stronger or weaker by
 * it. Pure.
 *
 * Values that are not known yet, or secret, are never compared: such a change is neutral and says so. Comparisons with an order are
 * antisymmetric: what weakens in one direction strengthens in the other. Only a repository that begins anew weakens both ways.
 */
import { isSecret, isUnknown } from "../model/unknown";

export type Effect = "strengthened" | "weakened" | "neutral";
/** `null`: there is none. */
export type Value = string | number | boolean | null;

export interface Change {
  /** Name of the component. */
  readonly database: string;
  /** Path of the argument where there is one: `repositories.repo1.keepDays`. */
  readonly path: string;
  readonly before: string;
  readonly after: string;
  /** A sentence in words, without a full stop. */
  readonly text: string;
  readonly effect: Effect;
  /** True where one of both is not known yet or secret: nobody can tell the effect. */
  readonly uncertain: boolean;
  /** What to write into `acknowledgeWeaker` to say that it is meant: the path, `=`, the new value. */
  readonly acknowledgeAs: string;
  /** Only for weakened ones: the reason that the new topology gives. */
  readonly acknowledged?: string;
}

/** Collects the changes of one database. */
export interface Collector {
  /** By a scale: the larger rank is the stronger one. */
  rank<T extends Value>(path: string, before: T, after: T, rankOf: (value: T) => number, sentence: Sentence<T>): void;
  /** Different is neither better nor worse. */
  plain(path: string, before: Value, after: Value, sentence: Sentence<Value>): void;
  /** With an effect that is known already. */
  add(path: string, before: Value, after: Value, effect: Effect, text: string): void;
  /** What cannot be compared because a part of it is not known. */
  uncertain(path: string, before: Value, after: Value, text: string): void;
}

type Sentence<T> = (after: T, before: T) => string;

/** Writes into `changes`. */
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
      const step = Math.sign(rankOf(after) - rankOf(before));
      push(path, before, after, step > 0 ? "strengthened" : step < 0 ? "weakened" : "neutral", false, sentence(after, before));
    },
    plain: (path, before, after, sentence) => {
      if (before === after || hidden(path, before, after)) return;
      push(path, before, after, "neutral", false, sentence(after, before));
    },
    add: (path, before, after, effect, text) => push(path, before, after, effect, false, text),
    uncertain: (path, before, after, text) => push(path, before, after, "neutral", true, text),
  };
}

/** True where a value must not, or cannot, be looked at. */
export function isHidden(value: unknown): boolean {
  return isUnknown(value) || isSecret(value);
}

/** How a value is shown: `none`, `not known yet`, `secret`, or itself. */
export function valueText(value: Value | undefined): string {
  if (value === null || value === undefined) return "none";
  if (isSecret(value)) return "secret";
  if (isUnknown(value)) return "not known yet";
  return String(value);
}

/** Two values of one sort that cannot be looked at are no change. */
function sortOf(value: Value): string {
  return isHidden(value) ? valueText(value) : "";
}
