/** Reads the configuration, which Pulumi.yaml describes, and calls program.ts. */
import * as pulumi from "@pulumi/pulumi";
import { program } from "./program";

const config = new pulumi.Config();

export const { topology, destinations, passphrase } = program({
  server: config.require("server"),
  hostKey: config.require("hostKey"),
  r2: {
    accountId: config.require("accountId"),
    bucket: config.require("r2Bucket"),
    accessKeyId: config.requireSecret("accessKeyId"),
    secretAccessKey: config.requireSecret("secretAccessKey"),
  },
  b2Bucket: config.require("b2Bucket"),
});
