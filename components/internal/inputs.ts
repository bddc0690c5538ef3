/**
 * Values of a program that may be known or deferred. A plan is made immediately, with a marker for every value from
 * another resource, and again when values arrive. The first one decides which children exist and finds mistakes early.
 *
 * Each deferred value has its own marker, the same at every position. So what reads several of them waits for these
 * alone, and a value that is unknown in a preview hides nothing else.
 */
import * as pulumi from "@pulumi/pulumi";
import { valueAt } from "../plan/model/anyValue";
import { attempt, DeferredRead, view } from "../plan/model/deferred";
import { unknownMarker } from "../plan/model/unknown";

export interface KnownPart<T> {
  /** The value with markers for outputs and promises. */
  readonly value: pulumi.Unwrap<T>;
  /** The output behind each marker. */
  readonly deferred: ReadonlyMap<string, pulumi.Output<unknown>>;
}

/** Separates plain and deferred values. */
export function splitKnown<T>(value: T): KnownPart<T> {
  const deferred = new Map<string, pulumi.Output<unknown>>();
  const markers = new Map<unknown, string>();
  const known = withMarkers(value, deferred, (output) => {
    const marker = markers.get(output) ?? unknownMarker(markers.size);
    markers.set(output, marker);
    return marker;
  }) as pulumi.Unwrap<T>;
  return { value: known, deferred };
}

/** The values as they are now. Reading a deferred one ends what reads it. */
export function knownNow<T>(values: T): pulumi.Unwrap<T> {
  return view(splitKnown(values).value);
}

/** What `make` makes of the values: now if all of them are known. An output costs a dozen promises. */
export function appliedNow<T, Made>(values: T, make: (known: pulumi.Unwrap<T>) => Made): pulumi.Input<Made> {
  const { value, deferred } = splitKnown(values);
  return deferred.size === 0 ? make(value) : pulumi.output(values).apply((known) => make(known) as never);
}

/**
 * What `make` makes of a plan with deferred values (deferred.ts): immediately, with an output for each deferred field;
 * as a whole when the values have arrived, if it reads one itself.
 * @param final the plan when they have
 */
export function derived<Plan, T>(
  plan: Plan,
  final: () => pulumi.Output<Plan>,
  make: (plan: Plan) => T,
): T | pulumi.Output<T> {
  const outputAt = (path: readonly string[]): pulumi.Output<unknown> =>
    final().apply((known) => valueAt(make(known), ...path));
  const made = attempt(() => fillDeferred(make(plan), outputAt));
  return made instanceof DeferredRead ? final().apply<T>((known) => make(known) as never) : (made as T);
}

/** What follows from something that is made of values of which some are deferred. */
export interface Apart<Plan> {
  /** Made of what is known. Reading a deferred value ends what reads it. */
  readonly now: Plan;
  /** Each deferred field waits for the values that it is made of, and for no other: one hides nothing else. */
  readonly derive: <T>(make: (plan: Plan) => T) => T | pulumi.Output<T>;
}

/** Made again with each value that something asks for, once for each set of values. */
export function apart<Plan, Values>(
  { value, deferred }: KnownPart<Values>,
  make: (values: pulumi.Unwrap<Values>, known: ReadonlyMap<string, unknown>) => Plan,
): Apart<Plan> {
  const plans = new Map<string, Plan>();
  const planOf = (known: ReadonlyMap<string, unknown>): Plan => {
    const key = [...known.keys()].toSorted().join("");
    const plan = plans.get(key) ?? make(view(withValues(value, known)) as pulumi.Unwrap<Values>, known);
    plans.set(key, plan);
    return plan;
  };
  const derive = <T>(read: (plan: Plan) => T): T | pulumi.Output<T> => {
    const partAt = (values: ReadonlyMap<string, unknown>, path: readonly string[]): unknown => {
      const made = attempt(() => valueAt(read(planOf(values)), ...path));
      if (!(made instanceof DeferredRead)) return fillDeferred(made, (inner) => partAt(values, [...path, ...inner]));
      const { marker } = made;
      return (deferred.get(marker) as pulumi.Output<unknown>).apply((known) =>
        pulumi.output(partAt(new Map([...values, [marker, known]]), path)),
      );
    };
    return partAt(new Map(), []) as T;
  };
  return { now: planOf(new Map()), derive };
}

/** The value with an output for each deferred field; the same object without any. */
function fillDeferred(
  value: unknown,
  outputAt: (path: readonly string[]) => unknown,
  path: readonly string[] = [],
): unknown {
  if (typeof value !== "object" || value === null || pulumi.Output.isInstance(value)) return value;
  const fields = Object.entries(Object.getOwnPropertyDescriptors(value)).filter(([, { enumerable }]) => enumerable);
  const entries = fields.map(([key, field]): [string, unknown] => {
    const own = [...path, key];
    return [key, field.get === undefined ? fillDeferred(field.value, outputAt, own) : outputAt(own)];
  });
  if (entries.every(([, item], index) => item === fields[index]?.[1].value)) return value;
  return Array.isArray(value) ? entries.map(([, item]) => item) : Object.fromEntries(entries);
}

/**
 * Ends when an output and what it is made of have arrived, or will not arrive in this preview: only then it is certain
 * whether it is secret.
 */
export async function arrival(output: pulumi.Output<unknown>): Promise<void> {
  await pulumi.isSecret(output);
}

export function isDeferredInput<T>(value: pulumi.Input<T>): value is pulumi.OutputInstance<T> | Promise<T> {
  return pulumi.Output.isInstance(value) || value instanceof Promise;
}

/** The input; a deferred one that has no value is the default. */
export function withDefault<T>(value: pulumi.Input<T> | undefined, otherwise: T): pulumi.Input<T> {
  if (value === undefined) return otherwise;
  if (!isDeferredInput(value)) return value;
  const deferred: pulumi.Output<unknown> = pulumi.output<unknown>(value);
  return deferred.apply((known) => (known ?? otherwise) as T);
}

/** The texts of all maps, each over those before it. */
export function textsOf(...maps: TextMap[]): TextMap {
  const isDeferred = maps.some(isDeferredInput);
  const merged = <T>(known: readonly T[]): T => Object.assign({}, ...known) as T;
  return isDeferred ? pulumi.all(maps).apply((known) => merged(known)) : merged(maps);
}

export type TextMap = pulumi.Input<{ [name: string]: pulumi.Input<string> }>;

/** `known` with the values of some markers. */
export function withValues(known: unknown, values: ReadonlyMap<string, unknown>): unknown {
  if (typeof known === "string") return values.has(known) ? values.get(known) : known;
  if (typeof known !== "object" || known === null) return known;
  if (Array.isArray(known)) return known.map((item) => withValues(item, values));
  return Object.fromEntries(Object.entries(known).map(([key, item]) => [key, withValues(item, values)]));
}

/** The value with another one for each deferred value in it. What has none, and what is kept, is the same object. */
export function withDeferred(
  value: unknown,
  kept: ReadonlySet<unknown>,
  make: (deferred: unknown) => unknown,
): unknown {
  if (isDeferredInput(value)) return make(value);
  if (typeof value !== "object" || value === null || kept.has(value)) return value;
  const fields = Object.entries(value).map(([key, item]: [string, unknown]) => {
    const made = withDeferred(item, kept, make);
    return { key, made, isSame: made === item };
  });
  if (fields.every(({ isSame }) => isSame)) return value;
  return Array.isArray(value)
    ? fields.map(({ made }) => made)
    : Object.fromEntries(fields.map(({ key, made }) => [key, made]));
}

/** The value once all of it is known, with markers for secrets: safe to report. */
export function withoutSecrets<T>({ value, deferred }: KnownPart<T>): pulumi.Output<unknown> {
  const entries = [...deferred].map(
    async ([marker, output]): Promise<[string, pulumi.Output<unknown>][]> =>
      (await pulumi.isSecret(output)) ? [] : [[marker, output]],
  );
  return pulumi.output(Promise.all(entries)).apply((open) => pulumi.output(withValues(value, new Map(open.flat()))));
}

const secrets = new WeakMap<object, pulumi.Output<string>>();

/** Like `pulumi.secret`, once for each output: a hundred repositories may share one passphrase. */
export function secretText(input: pulumi.Input<string>): pulumi.Output<string> {
  if (!pulumi.Output.isInstance(input)) return pulumi.secret(input);
  const secret = secrets.get(input) ?? pulumi.secret(input);
  secrets.set(input, secret).set(secret, secret);
  return secret;
}

/** What follows from a secret text. {@link secretText} takes it as it is: copying an output makes three more. */
export function appliedSecret(input: pulumi.Input<string>, make: (known: string) => string): pulumi.Output<string> {
  const made = secretText(input).apply(make);
  secrets.set(made, made);
  return made;
}

/** An input that a check has proved to be plain text; empty for any other. */
export function plainText(input: pulumi.Input<string> | undefined): string {
  return typeof input === "string" ? input : "";
}

/** A text with an end, plain if the text is. */
export function suffixed(text: pulumi.Input<string>, suffix: string): pulumi.Input<string> {
  return typeof text === "string" ? `${text}${suffix}` : pulumi.interpolate`${text}${suffix}`;
}

function withMarkers(
  value: unknown,
  deferred: Map<string, pulumi.Output<unknown>>,
  markerOf: (output: unknown) => string,
): unknown {
  if (isDeferredInput(value)) {
    const marker = markerOf(value);
    if (!deferred.has(marker)) deferred.set(marker, pulumi.output(value));
    return marker;
  }
  if (Array.isArray(value)) return value.map((item) => withMarkers(item, deferred, markerOf));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withMarkers(item, deferred, markerOf)]));
}
