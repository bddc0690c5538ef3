/**
 * What the last update left in the stack, for a component that is about to be created: whether the stack has the same
 * thing under another name, because the component was renamed without an alias. The engine learns of that at the end of
 * an update, when it deletes what the program no longer declares, and keys have changed by then.
 *
 * The engine asks after it has resolved aliases, in previews too. It asks about components, because one that is once in
 * the state under its new name gets no children by an alias. It does not ask programs in other languages, nor tests
 * without an engine. Where the state cannot be read, nothing is refused.
 */
import { setTimeout as pause } from "node:timers/promises";
import * as pulumi from "@pulumi/pulumi";
import { perProgram, withHooks } from "./hooks";

/** A resource of the stack's state. */
export interface EarlierResource {
  /** Name in the program. */
  readonly name: string;
  readonly type: string;
  /** Types of its components and its own: `acme:Platform$pgbackstop:index:CipherPassphrase$…`. */
  readonly types: string;
  /** May contain secrets. */
  readonly outputs: Readonly<Record<string, unknown>>;
}

/** Why a component may not be created; null if it may. */
export type Judge = (
  earlier: readonly EarlierResource[],
  inputs: Readonly<Record<string, unknown>>,
) => string | null | Promise<string | null>;

/**
 * After another resource has failed, the engine waits for its hooks and no longer answers them (Pulumi 3.250). Without
 * a limit such a preview never ends.
 */
const STATE_MS = 20_000;
const KNOWN_MS = 2_000;

/** Options with which the engine asks `judge` before it creates a component. @param title of it */
export function refusedIf(
  title: string,
  opts: pulumi.ComponentResourceOptions | undefined,
  judge: Judge,
): pulumi.ComponentResourceOptions | undefined {
  const ask: pulumi.ResourceHookFunction = async ({ newInputs = {} }) => {
    const earlier = await Promise.race([earlierResources(), pause(STATE_MS, [], { ref: false })]);
    const reason = await judge(earlier, newInputs);
    if (reason !== null) throw new Error(reason);
  };
  return withHooks(`is ${title} new`, opts, ["beforeCreate"], ask);
}

/** Options with which the engine asks `judge` before it changes a component, which may not be if there is a reason. */
export function refusedUpdate(
  title: string,
  opts: pulumi.ComponentResourceOptions | undefined,
  judge: (before: Readonly<Record<string, unknown>>, after: Readonly<Record<string, unknown>>) => string | null,
): pulumi.ComponentResourceOptions | undefined {
  return withHooks(`may ${title} change`, opts, ["beforeUpdate"], ({ newInputs = {}, oldInputs = {} }) => {
    const reason = judge(oldInputs, newInputs);
    if (reason !== null) throw new Error(reason);
  });
}

/**
 * Class and name of each component that the program has declared so far and whose earlier self another one looks for:
 * one that is still declared was not renamed.
 */
export const declaredTitles = perProgram(() => new Set<string>());

/** The value; null if it is not known soon: what only this update knows is nothing of the stack's state. */
export function knownSoon<T>(value: pulumi.Output<T>): Promise<T | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), KNOWN_MS);
    value.apply((known) => {
      clearTimeout(timer);
      resolve(known);
    });
  });
}

/** A program with a hundred new components reads its state once. */
const earlierResources = perProgram(readState);

async function readState(): Promise<readonly EarlierResource[]> {
  // Backends without projects know the short name only.
  const names = [() => [pulumi.getOrganization(), pulumi.getProject(), pulumi.getStack()].join("/"), pulumi.getStack];
  for (const nameOf of names) {
    try {
      const answer = (await pulumi.runtime.invoke(READ_STATE, { stackName: nameOf() })) as Answer;
      return Object.entries(answer.outputs).map(([urn, { outputs, type }]) => {
        const [types = "", ...name] = urn.split("::").slice(2);
        return { name: name.join("::"), type, types, outputs };
      });
    } catch {
      continue;
    }
  }
  return [];
}

/** The engine's own function, which stack references use too. */
const READ_STATE = "pulumi:pulumi:readStackResourceOutputs";

interface Answer {
  readonly outputs: Readonly<Record<string, Pick<EarlierResource, "type" | "outputs">>>;
}
