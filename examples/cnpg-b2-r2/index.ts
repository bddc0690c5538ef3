/** Reads the configuration, which Pulumi.yaml describes, and calls program.ts. */
import * as pulumi from "@pulumi/pulumi";
import { program } from "./program";

const config = new pulumi.Config();

export const { immich, others } = program({
  accountId: config.require("accountId"),
  buckets: { immich: config.require("immichBucket"), others: config.require("othersBucket") },
  immichImage: config.require("immichImage"),
});
