/** What a component does with arguments that may be wrong. */
import * as pulumi from "@pulumi/pulumi";
import { vi } from "vitest";
import { computedOf } from "./deferredInputs";

/** The two keys of a storage account of Azure. */
const AZURE_KEYS = ["key1", "key2"].map((keyName) => ({ keyName, value: "a2V5" }));

export interface Answer<Made> {
  readonly errors: readonly unknown[];
  /** Everything that a component declares and returns; empty if it throws. */
  readonly shown: string;
  /** Null if it throws. */
  readonly made: Made | null;
}

/** @param make creates a component */
export async function answerTo<Made extends object>(make: () => Made): Promise<Answer<Made>> {
  const errors: unknown[] = [];
  const keep = (error: unknown): void => void errors.push(error);
  const declared: unknown[] = [];
  process.on("unhandledRejection", keep);
  const silent = async (): Promise<void> => {};
  const spies = (["warn", "info"] as const).map((level) => vi.spyOn(pulumi.log, level).mockImplementation(silent));
  await pulumi.runtime.setMocks({
    call: () => ({ results: [], keys: AZURE_KEYS }),
    newResource: ({ id, inputs, name, type }) => {
      // One that is only read.
      if (id) return { id, state: {} };
      declared.push([type, name, inputs]);
      const given = inputs as object;
      return { id: name, state: { ...given, value: "token", arn: "arn", secret: "secret", ...computedOf(type) } };
    },
  });
  let shown: unknown;
  let made: Made | null = null;
  try {
    made = make();
    const fields = Object.entries(made).filter(([name]) => !/^(urn|__)/.test(name));
    shown = await valueOf(pulumi.output(Object.fromEntries(fields)));
  } catch (error) {
    keep(error);
  }
  await pulumi.runtime.disconnect().catch(keep);
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", keep);
  for (const spy of spies) spy.mockRestore();
  return { errors, shown: JSON.stringify([shown, declared]), made };
}

export function valueOf<T>(output: pulumi.Output<T>): Promise<T> {
  return (output as pulumi.Output<T> & { promise(): Promise<T> }).promise();
}

/** Errors for users, without a stack trace. */
export function isExplained(error: unknown): boolean {
  return [pulumi.InputPropertiesError, pulumi.InputPropertyError, pulumi.RunError].some((each) =>
    each.isInstance(error),
  );
}
