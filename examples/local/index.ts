/**
 * Reads the configuration, which Pulumi.yaml describes, and calls program.ts.
 *
 * `host` takes arguments of `PostgresHost`: differences from a standard Debian, and permissions for updates.
 *
 *     pulumi config set --path host.allowRestart true
 */
import * as pulumi from "@pulumi/pulumi";
import { type LocalSettings, program } from "./program";

const config = new pulumi.Config();
const port = config.getNumber("port");
const caFile = config.get("caFile");
const protect = config.getBoolean("protect");

export const { topology, pendingRestart, timersEnabled, firstBackup, destinations, restoreCommand, passphrase } =
  program({
    dataDirectory: config.require("dataDirectory"),
    nasPath: config.require("nasPath"),
    bucket: {
      name: config.require("bucket"),
      endpoint: config.require("endpoint"),
      region: config.require("region"),
      accessKeyId: config.requireSecret("accessKeyId"),
      secretAccessKey: config.requireSecret("secretAccessKey"),
      ...(port === undefined ? {} : { port }),
      ...(caFile === undefined ? {} : { caFile }),
    },
    host: config.getObject<NonNullable<LocalSettings["host"]>>("host") ?? {},
    ...(protect === undefined ? {} : { protect }),
  });
