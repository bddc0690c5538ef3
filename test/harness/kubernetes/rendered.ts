/**
 * The objects of Kubernetes that components declare, as Pulumi's provider would send them: from a program without an
 * engine.
 */
import * as pulumi from "@pulumi/pulumi";
import { certificateCreate, type CertificateInputs } from "../../../components/dynamic/certificate";
import { plain, type Value } from "../doubles/providerValues";

/**
 * Runs `program` and returns the inputs of every resource of Kubernetes that it made, with everything in them known.
 * Certificates are made as the engine would have them made; other resources give back what they got.
 */
export async function renderedObjects(program: () => void): Promise<readonly object[]> {
  const result: object[] = [];
  await pulumi.runtime.setMocks(
    {
      call: () => ({}),
      newResource: async ({ type, name, inputs }) => {
        if (type.startsWith("kubernetes:")) result.push(plain(inputs as Value) as object);
        return { id: name, state: await outputsOf(type, inputs as object) };
      },
    },
    "shop",
    "prod",
  );
  try {
    program();
  } finally {
    // What was declared before an error is still on its way.
    await pulumi.runtime.disconnect();
  }
  return result;
}

async function outputsOf(type: string, inputs: object): Promise<object> {
  if (!type.endsWith(":SelfSignedCertificate")) return inputs;
  return (await certificateCreate(inputs as CertificateInputs)).outs ?? {};
}
