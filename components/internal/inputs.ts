/**
 * Values of a program that may be known now or later. A plan is made twice: at once, with a marker for everything that is not known yet,
 * and again in the chain of the values. The first decides which children exist and finds mistakes early; the second renders.
 */
import * as pulumi from "@pulumi/pulumi";
import { isUnknown, UNKNOWN_TEXT } from "../plan/topology";

/** `value` with the marker of topology.ts instead of every Output and promise. */
export function knownPart<T>(value: pulumi.Input<T> | T): pulumi.Unwrap<T> {
  return withoutOutputs(value) as pulumi.Unwrap<T>;
}

/** `known` with the marker leaves replaced by what `full` has in their place. */
export function fillUnknown<T extends object>(known: T, full: pulumi.Output<T>): pulumi.Inputs {
  return fill(known, (path) => full.apply((whole) => at(whole, path)), []) as pulumi.Inputs;
}

function withoutOutputs(value: unknown): unknown {
  if (pulumi.Output.isInstance(value) || value instanceof Promise) return UNKNOWN_TEXT;
  if (Array.isArray(value)) return value.map(withoutOutputs);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutOutputs(item)]));
}

function fill(value: unknown, later: (path: readonly string[]) => unknown, path: readonly string[]): unknown {
  if (isUnknown(value)) return later(path);
  if (Array.isArray(value)) return value.map((item, index) => fill(item, later, [...path, String(index)]));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fill(item, later, [...path, key])]));
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (current, key) => (typeof current === "object" && current !== null ? (current as Record<string, unknown>)[key] : undefined),
    value,
  );
}
