/** Reads the configuration, which Pulumi.yaml describes, and calls program.ts. */
import * as pulumi from "@pulumi/pulumi";
import { program } from "./program";

const config = new pulumi.Config();

export const { topology, restoreCommand, passphrase, rules, dashboard } = program({
  accountId: config.require("accountId"),
  bucket: config.require("bucket"),
  accessKeyId: config.requireSecret("accessKeyId"),
  secretAccessKey: config.requireSecret("secretAccessKey"),
});
