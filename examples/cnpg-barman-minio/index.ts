/** Reads the configuration, which Pulumi.yaml describes, and calls program.ts. */
import * as pulumi from "@pulumi/pulumi";
import { program } from "./program";

const config = new pulumi.Config();

export const { topology } = program({
  app: config.require("app"),
  namespace: config.require("namespace"),
  clusterName: config.require("clusterName"),
});
