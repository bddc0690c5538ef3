/** Reads the configuration, which Pulumi.yaml describes, and calls program.ts. */
import * as pulumi from "@pulumi/pulumi";
import { program } from "./program";

const config = new pulumi.Config();

export const { topology, passphrase, source, sidecar, metrics, alerts } = program({
  directory: config.require("directory"),
  endpoint: config.require("endpoint"),
  region: config.require("region"),
  bucket: config.require("bucket"),
  keys: {
    accessKeyId: config.requireSecret("accessKeyId"),
    secretAccessKey: config.requireSecret("secretAccessKey"),
  },
  sourceAddress: config.require("sourceAddress"),
});
