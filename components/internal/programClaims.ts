/**
 * What the components of one program use, so that two of them that use the same are detected. Each program has its own
 * record, even if one process runs several: the record belongs to the program's stack resource, of which the SDK makes
 * one for each run. For a program in another language, the plugin has the record: the engine asks one process of it for
 * all components of a deployment.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import * as pulumi from "@pulumi/pulumi";
import type { Claims } from "../plan/findings/claims";
import { arrival } from "./inputs";

const programs = new WeakMap<object, Claims>();

/** One component that the plugin makes, the outputs that judge its claims, and what they refuse. */
interface Construction {
  readonly claims: Claims;
  readonly judgements: Promise<unknown>[];
  readonly refusals: unknown[];
}

const construction = new AsyncLocalStorage<Construction>();

/**
 * Makes a component for a program in another language, and waits until its claims are judged as far as they are known.
 * @throws what a claim's judgement throws
 */
export async function constructed<T>(claims: Claims, make: () => T): Promise<T> {
  const own: Construction = { claims, judgements: [], refusals: [] };
  const made = construction.run(own, make);
  await Promise.all(own.judgements);
  if (own.refusals.length > 0) throw own.refusals[0];
  return made;
}

/**
 * Judges values when they are known; known ones after the caller, so that a preview shows the findings of all
 * components. What `judge` throws ends a program. In the plugin it would end every component that is being made, and is
 * the answer for the one that claims.
 */
export function judgeWhenKnown<T>(values: pulumi.Output<T> | (() => T), judge: (known: T) => void): void {
  const own = construction.getStore();
  const judged = (known: T): void => {
    try {
      judge(known);
    } catch (error) {
      if (own === undefined) throw error;
      own.refusals.push(error);
    }
  };
  const judgement = pulumi.Output.isInstance(values)
    ? arrival(values.apply(judged))
    : Promise.resolve().then(() => judged(values()));
  own?.judgements.push(judgement);
}

/** Call it while the program declares. Null without a program: in a test without an engine. */
export function claimsOfProgram(): Claims | null {
  const own = construction.getStore();
  if (own !== undefined) return own.claims;
  const program = pulumi.runtime.getStackResource();
  if (program === undefined) return null;
  const claims: Claims = programs.get(program) ?? new Map();
  programs.set(program, claims);
  return claims;
}
