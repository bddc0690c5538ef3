/** Reads the configuration, which Pulumi.yaml describes, and calls program.ts. */
import * as pulumi from "@pulumi/pulumi";
import { program } from "./program";

const config = new pulumi.Config();
const restoreTo = config.get("restoreTo") ?? "";

export const { topology, passphrase } = program({
  namespace: config.require("namespace"),
  clusterName: config.require("clusterName"),
  keys: {
    accessKeyId: config.requireSecret("accessKeyId"),
    secretAccessKey: config.requireSecret("secretAccessKey"),
  },
  ...(restoreTo === "" ? {} : { restoreTo }),
});
