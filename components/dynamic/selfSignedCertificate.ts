/**
 * The dynamic resource behind a plugin's certificates. Only the declaration: the engine loads its methods from
 * certificate.ts by this package's name, so that it captures nothing of the program and an updated package takes effect
 * immediately.
 */
import * as pulumi from "@pulumi/pulumi";
import type { CertificateInputs } from "./certificate";
import { DynamicResource, methodsOf } from "./dynamicResource";

type CertificateModule = typeof import("./certificate");

const METHODS = methodsOf<CertificateModule>("pgbackstop/dynamic/certificate", {
  create: "certificateCreate",
  diff: "certificateDiff",
  update: "certificateUpdate",
});

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
    const own: pulumi.CustomResourceOptions = { additionalSecretOutputs: ["privateKeyPem"] };
    const outputs = { certificatePem: undefined, privateKeyPem: undefined, notAfter: undefined };
    super(METHODS, name, { ...args, ...outputs }, pulumi.mergeOptions(opts, own), "SelfSignedCertificate");
  }
}
