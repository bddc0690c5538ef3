/** Reads the configuration, which Pulumi.yaml describes, and calls program.ts. */
import * as pulumi from "@pulumi/pulumi";
import { program } from "./program";

const config = new pulumi.Config();

export const { address, topology, restoreCommand, passphrase } = program({
  bucket: config.require("bucket"),
  near: {
    host: config.require("boxHost"),
    port: config.requireNumber("boxPort"),
    user: config.require("boxUser"),
    hostKey: config.require("boxHostKey"),
    privateKey: config.requireSecret("boxPrivateKey"),
  },
  serverType: config.require("serverType"),
  location: config.require("location"),
});
