/** The declaration of the dynamic resource behind a plugin's certificates; certificate.ts has its methods. */
import type * as pulumi from "@pulumi/pulumi";
import type { CertificateInputs } from "./certificate";
import { type DynamicClass, DynamicResource, methodsOf } from "./dynamicResource";

type CertificateModule = typeof import("./certificate");

const CERTIFICATE: DynamicClass = {
  type: "SelfSignedCertificate",
  methods: methodsOf<CertificateModule>("pgbackstop/dynamic/certificate", {
    create: "certificateCreate",
    diff: "certificateDiff",
    update: "certificateUpdate",
  }),
  outputs: ["certificatePem", "privateKeyPem", "notAfter"],
  secretOutputs: ["privateKeyPem"],
};

export interface SelfSignedCertificateArgs {
  commonName: pulumi.Input<string>;
  dnsNames: pulumi.Input<pulumi.Input<string>[]>;
  usage: CertificateInputs["usage"];
  validDays: number;
  renewDays: number;
  rotation: pulumi.Input<string>;
}

/** A directly trusted certificate with its key, secret in the state. */
export class SelfSignedCertificate extends DynamicResource {
  declare readonly certificatePem: pulumi.Output<string>;
  declare readonly privateKeyPem: pulumi.Output<string>;
  declare readonly notAfter: pulumi.Output<string>;

  constructor(name: string, args: SelfSignedCertificateArgs, opts: pulumi.CustomResourceOptions) {
    super(CERTIFICATE, name, args, opts);
  }
}
