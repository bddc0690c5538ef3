/** Reads the configuration, which Pulumi.yaml describes, and calls program.ts. */
import * as pulumi from "@pulumi/pulumi";
import { program } from "./program";

const config = new pulumi.Config();

export const { topology, destinations, passphrase } = program({
  server: config.require("server"),
  hostKey: config.require("hostKey"),
  composeFile: config.require("composeFile"),
  backupHost: {
    host: config.require("backupHost"),
    user: config.require("backupUser"),
    hostKey: config.require("backupHostKey"),
    privateKey: config.requireSecret("backupPrivateKey"),
  },
  bucket: config.require("bucket"),
});
