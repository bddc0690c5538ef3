/** Hooks of the engine: it asks the program before it makes or changes a resource. */
import { AsyncResource } from "node:async_hooks";
import * as pulumi from "@pulumi/pulumi";

type Kind = "beforeCreate" | "beforeUpdate";

/**
 * URNs of components that the engine is about to create, or of which it changes one of some inputs, and the hook that
 * collects them: one for all components of a program, because the engine takes a request for each hook.
 */
interface Changes {
  readonly urns: Set<string>;
  readonly hook: pulumi.ResourceHook;
}

/** @param what names the hook @param inputs whose change counts */
export function changesOf(what: string, inputs: readonly string[]): () => Changes {
  return perProgram(() => {
    const urns = new Set<string>();
    const note: pulumi.ResourceHookFunction = ({ newInputs = {}, oldInputs, urn }) => {
      const isSame = (field: string): boolean =>
        JSON.stringify(oldInputs?.[field]) === JSON.stringify(newInputs[field]);
      if (oldInputs === undefined || !inputs.every(isSame)) urns.add(urn);
    };
    return { urns, hook: hookOf(what, note) };
  });
}

/** Options of a component whose changes are collected. */
export function watched<Options extends pulumi.ResourceOptions>(
  opts: Options | undefined,
  changes: () => Pick<Changes, "hook">,
): Options | undefined {
  return hasHooks() ? withHook(opts, ["beforeCreate", "beforeUpdate"], changes().hook) : opts;
}

export function withHooks<Options extends pulumi.ResourceOptions>(
  name: string,
  opts: Options | undefined,
  kinds: readonly Kind[],
  callback: pulumi.ResourceHookFunction,
): Options | undefined {
  return hasHooks() ? withHook(opts, kinds, hookOf(name, callback)) : opts;
}

/** The engine calls from outside of the program, of which a process may run several. */
export function hookOf(name: string, callback: pulumi.ResourceHookFunction): pulumi.ResourceHook {
  return new pulumi.ResourceHook(uniqueName(name), AsyncResource.bind(callback), { onDryRun: true });
}

function withHook<Options extends pulumi.ResourceOptions>(
  opts: Options | undefined,
  kinds: readonly Kind[],
  hook: pulumi.ResourceHook,
): Options {
  const own = Object.fromEntries(kinds.map((kind) => [kind, [...(opts?.hooks?.[kind] ?? []), hook]]));
  return { ...opts, hooks: { ...opts?.hooks, ...own } } as Options;
}

const hookNames = perProgram(() => new Set<string>());

/** Components below different parents may have one name, hooks may not. */
function uniqueName(name: string): string {
  const names = hookNames();
  const free = names.has(name) ? `${name}, ${names.size}` : name;
  names.add(free);
  return free;
}

/** Makes a value once for each program: a process may run several. A new value each time without one. */
export function perProgram<T>(make: () => T): () => T {
  const values = new WeakMap<object, T>();
  return () => {
    // Stands for the program.
    const stack = pulumi.runtime.getStackResource() ?? {};
    const value = values.get(stack) ?? make();
    values.set(stack, value);
    return value;
  };
}

/** True in a program of an engine. One without hooks ends with the SDK's words: "Please update the Pulumi CLI". */
function hasHooks(): boolean {
  return pulumi.runtime.getStackResource() !== undefined;
}
