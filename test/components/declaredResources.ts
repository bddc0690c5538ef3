/** A program without an engine: what it declares, and what its resources are then. */
import * as pulumi from "@pulumi/pulumi";

export interface Declared {
  readonly type: string;
  readonly name: string;
  /** Set for one that is only read. */
  readonly id: string | undefined;
  readonly inputs: Record<string, unknown>;
}

/** @param outputs of a resource besides its inputs; `id` is its name, if it is not among them */
type OutputsOf = (resource: Declared) => Readonly<Record<string, unknown>>;

/** Starts a program of stack shop/prod. The list grows with each resource that it declares. */
export async function startProgram(
  outputs: OutputsOf = () => ({}),
  call: (asked: pulumi.runtime.MockCallArgs) => Record<string, unknown> = () => ({}),
): Promise<Declared[]> {
  const declared: Declared[] = [];
  const newResource = (made: pulumi.runtime.MockResourceArgs): { id: string; state: object } => {
    const inputs = made.inputs as Record<string, unknown>;
    const resource = { type: made.type, name: made.name, id: made.id, inputs };
    declared.push(resource);
    const { id = made.id || made.name, ...computed } = outputs(resource);
    return { id: String(id), state: { ...inputs, ...computed } };
  };
  await pulumi.runtime.setMocks({ call, newResource }, "shop", "prod");
  return declared;
}

/** All that a program declares, to its end. */
export async function declaredBy(program: () => void, outputs?: OutputsOf): Promise<Declared[]> {
  const declared = await startProgram(outputs);
  program();
  await pulumi.runtime.disconnect();
  return declared;
}

/** @throws Error if it was not declared */
export function inputsIn(declared: readonly Declared[], name: string): Record<string, unknown> {
  const resource = declared.find((each) => each.name === name);
  if (resource !== undefined) return resource.inputs;
  throw new Error(`${name} was not declared: ${declared.map((each) => each.name).join(", ")}`);
}

/** In the order of types. */
export function titlesOf(declared: readonly Declared[]): string[] {
  return declared.map(({ type, name }) => `${type} ${name}`).sort();
}

/** The value, once it is known. */
export function valueOf<T>(input: pulumi.Input<T> | undefined): Promise<T> {
  return new Promise((resolve) => void pulumi.output(input).apply((value) => resolve(value as T)));
}
