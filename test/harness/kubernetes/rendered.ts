/** The objects of Kubernetes that components declare, as Pulumi's provider would send them: from a program without an engine. */
import * as pulumi from "@pulumi/pulumi";
import { plain, type Value } from "../providerValues";

/**
 * Runs `program` and returns the inputs of every resource of Kubernetes that it made, with everything in them known.
 * @param outputsOf what other resources give back; default: what they got
 */
export async function renderedObjects(
  program: () => void,
  outputsOf: (type: string, inputs: object) => object = (_type, inputs) => inputs,
): Promise<readonly object[]> {
  const found: object[] = [];
  await pulumi.runtime.setMocks(
    {
      call: () => ({}),
      newResource: ({ type, name, inputs }) => {
        if (type.startsWith("kubernetes:")) found.push(plain(inputs as Value) as object);
        return { id: name, state: outputsOf(type, inputs as object) };
      },
    },
    "shop",
    "prod",
  );
  program();
  await pulumi.runtime.disconnect();
  return found;
}
