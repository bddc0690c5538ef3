/**
 * Renders the Kubernetes objects that components declare, as Pulumi's provider would send them. The program runs
 * without an engine.
 */
import * as pulumi from "@pulumi/pulumi";
import { certificateCreate, type CertificateInputs } from "../../../components/dynamic/certificate";
import { plain, type Value } from "../doubles/providerValues";

/**
 * Runs `program` and returns the inputs of every Kubernetes resource that it created, with all values known.
 * Certificates are created as the engine would create them; other resources return their inputs.
 * @param computed more outputs, by type
 */
export async function renderedObjects(
  program: () => void,
  computed: (type: string) => object = () => ({}),
): Promise<readonly object[]> {
  const result: AnyObject[] = [];
  await pulumi.runtime.setMocks(
    {
      call: () => ({}),
      newResource: async ({ id, type, name, inputs }) => {
        // A resource that is only read has an id.
        if (type.startsWith("kubernetes:") && !id)
          addObject(result, type, plain(inputs as Value) as object as AnyObject);
        return { id: name, state: { ...(await outputsOf(type, inputs as object)), ...computed(type) } };
      },
    },
    "shop",
    "prod",
  );
  try {
    program();
  } finally {
    // Resources declared before an error are still being registered.
    await pulumi.runtime.disconnect();
  }
  return result;
}

export interface AnyObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** A patch goes into its object, if the program declares that too. */
export function addObject<T extends AnyObject>(result: T[], type: string, object: T): void {
  const { kind, metadata, ...fields } = object;
  const patched = type.endsWith("Patch")
    ? result.findIndex(
        (each) =>
          each.kind === kind && each.metadata.name === metadata.name && each.metadata.namespace === metadata.namespace,
      )
    : -1;
  const there = result[patched];
  if (there === undefined) result.push(object);
  else result[patched] = { ...there, ...fields };
}

async function outputsOf(type: string, inputs: object): Promise<object> {
  if (!type.endsWith(":SelfSignedCertificate")) return inputs;
  return (await certificateCreate(inputs as CertificateInputs)).outs ?? {};
}
