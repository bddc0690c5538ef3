/** Reads the configuration, which Pulumi.yaml describes, and calls program.ts. */
import * as pulumi from "@pulumi/pulumi";
import type { MigrationStage } from "pgbackstop-migration";
import { program } from "./program";

const config = new pulumi.Config();

export const { topology, passphrase, steps, reports, mayRetireSource } = program({
  oldAddress: config.require("oldAddress"),
  oldPassword: config.requireSecret("oldPassword"),
  oldCa: config.require("oldCa"),
  bucket: config.require("bucket"),
  keys: {
    accessKeyId: config.requireSecret("accessKeyId"),
    secretAccessKey: config.requireSecret("secretAccessKey"),
  },
  until: config.require<MigrationStage>("until"),
});
