/**
 * Deferred values end whatever reads them. So a rule that depends on one says nothing by itself, and a field of
 * a plan that follows from one is deferred too. Nothing lists which values may be deferred, and none is tried in their
 * place. Pure.
 *
 * JavaScript lets nothing intercept a comparison, but it lets the reading of a field be intercepted: in a {@link view},
 * each deferred value is a getter that throws {@link DeferredRead}. Spreading an object and Object.entries read all of
 * its fields; {@link merged} and `given` copy them unread.
 */
import { given } from "../../../runtime/base/given";
import { isUnknown } from "./unknown";

/** Thrown by reading a deferred value. */
export class DeferredRead extends Error {
  /** Stands for the value (unknown.ts). */
  public readonly marker: string;

  constructor(marker: string) {
    super(`a deferred value was read: ${JSON.stringify(marker)}`);
    this.name = "DeferredRead";
    this.marker = marker;
  }
}

/** One error for each marker: an error gathers the stack when it is made, and a preview reads some values often. */
const READS = new Map<string, DeferredRead>();

function readOf(marker: string): DeferredRead {
  const read = READS.get(marker) ?? new DeferredRead(marker);
  READS.set(marker, read);
  return read;
}

/** The values with a getter that throws for each one that has a marker. Without any they are the same object. */
export function view<T>(values: T): T {
  if (typeof values !== "object" || values === null) return values;
  const made = Array.isArray(values) ? [] : {};
  let isSame = true;
  for (const [key, value] of Object.entries(values)) {
    const seen = view(value as unknown);
    isSame &&= seen === value && !isUnknown(value);
    if (isUnknown(value)) defineDeferred(made, key, readOf(value as string));
    else Object.assign(made, { [key]: seen });
  }
  return isSame ? values : (made as T);
}

/**
 * An object of fields that are made immediately. One whose making reads a deferred value is deferred itself, and spoils
 * no other. Undefined fields stay.
 */
export function fields<T extends object>(makers: { readonly [Key in keyof T]: () => T[Key] }): T {
  const made: Record<string, unknown> = {};
  for (const [key, make] of Object.entries<() => unknown>(makers)) put(made, key, make);
  return made as T;
}

/** For {@link fields}: makers of fields that are as they are in `values`. */
export function readers<T extends object, Name extends keyof T>(
  values: T,
  ...names: readonly Name[]
): { readonly [Own in Name]-?: () => T[Own] } {
  const makers = names.map((name) => [name, () => values[name]]);
  return Object.fromEntries(makers) as { readonly [Own in Name]-?: () => T[Own] };
}

/** The items that `make` makes of each one. Where that reads a deferred value, the list has one deferred item. */
export function items<From, To>(from: readonly From[], make: (item: From) => readonly To[]): To[] {
  const made: To[] = [];
  for (const index of from.keys()) {
    const some = attempt(() => make(from[index] as From));
    if (some instanceof DeferredRead) defineDeferred(made, String(made.length), some);
    else made.push(...some);
  }
  return made;
}

/** A list with one item of each maker. An item whose making reads a deferred value is deferred, and spoils no other. */
export function list<T>(...makers: readonly (() => T)[]): T[] {
  const made: T[] = [];
  for (const [index, make] of makers.entries()) put(made, index, make);
  return made;
}

/** What `make` makes of each item, which may be deferred. */
export function mapped<From, To>(from: readonly From[], make: (read: () => From) => To): To[] {
  return list(...[...from.keys()].map((index) => () => make(() => from[index] as From)));
}

/** What `make` makes of each field, which may be deferred; by their names in order. */
export function mappedFields<From, To>(
  from: Readonly<Record<string, From>>,
  make: (read: () => From) => To,
): Record<string, To> {
  const names = Object.keys(from).toSorted();
  return fields(Object.fromEntries(names.map((name) => [name, () => make(() => from[name] as From)])));
}

/** Fields that are made immediately, without undefined ones; a deferred one stays. */
export function givenFields<T extends object>(makers: { readonly [Key in keyof T]: () => T[Key] }) {
  return given(fields<T>(makers));
}

/** True for a value that is declared, also while it is deferred. */
export function isGiven(read: () => unknown): boolean {
  return readOr(() => read() !== undefined, true);
}

/** True if both read the same value, also while it is deferred. */
export function areSame(left: () => unknown, right: () => unknown): boolean {
  const [first, second] = [attempt(left), attempt(right)];
  if (first instanceof DeferredRead && second instanceof DeferredRead && first.marker === second.marker) return true;
  return left() === right();
}

/** The value without what is deferred in it. */
export function knownPart(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const known = Object.keys(value).flatMap((key): [string, unknown][] => {
    const item = attempt(() => (value as Readonly<Record<string, unknown>>)[key]);
    return item instanceof DeferredRead ? [] : [[key, knownPart(item)]];
  });
  return Array.isArray(value) ? known.map(([, item]) => item) : Object.fromEntries(known);
}

/** What `make` makes, or the deferred value that ends it. */
export function attempt<T>(make: () => T): T | DeferredRead {
  try {
    return make();
  } catch (error) {
    if (error instanceof DeferredRead) return error;
    throw error;
  }
}

/** What `read` reads; `instead` if that comes later. */
export function readOr<T>(read: () => T, instead: T): T {
  const value = attempt(read);
  return value instanceof DeferredRead ? instead : value;
}

/** The fields of all objects, each over those before it. Deferred ones stay deferred. */
export function merged<A extends object, B extends object, C extends object = object, D extends object = object>(
  ...parts: readonly [A, B, C?, D?]
): A & B & C & D {
  const made: Record<string, unknown> = {};
  for (const part of parts) copyFields(part ?? {}, made);
  return made as A & B & C & D;
}

function copyFields(from: object, to: Record<string, unknown>): void {
  for (const key of Object.keys(from)) {
    const field = Object.getOwnPropertyDescriptor(from, key) ?? {};
    if (field.get !== undefined || Object.hasOwn(to, key)) Object.defineProperty(to, key, field);
    else to[key] = field.value;
  }
}

/** The object without some of its fields. */
export function without<T extends object, Key extends keyof T>(values: T, ...names: readonly Key[]): Omit<T, Key> {
  const made = merged(values, {});
  for (const name of names) delete made[name];
  return made;
}

/** Sets a field or an item; where its making reads a deferred value, it is deferred itself. */
function put(made: object, key: string | number, make: () => unknown): void {
  const value = attempt(make);
  if (value instanceof DeferredRead) defineDeferred(made, String(key), value);
  else Object.assign(made, { [key]: value });
}

function defineDeferred(made: object, key: string, error: DeferredRead): void {
  Object.defineProperty(made, key, {
    enumerable: true,
    configurable: true,
    get: (): never => {
      throw error;
    },
  });
}
