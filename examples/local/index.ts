/**
 * The program of `Pulumi.yaml`: reads the stack's configuration and declares what program.ts says.
 *
 *     pulumi config set dataDirectory /var/lib/postgresql/18/main
 *     pulumi config set nasPath /mnt/nas/pgbackrest
 *     pulumi config set bucket my-backups
 *     pulumi config set endpoint s3.example.net
 *     pulumi config set region us-east-1
 *     pulumi config set --secret accessKeyId …
 *     pulumi config set --secret secretAccessKey …
 *
 * What differs from a usual Debian, and what an update may do there, goes into `host`,
 * by the names of `PostgresHost`'s arguments:
 *
 *     pulumi config set --path host.allowRestart true
 *
 * `protect` set to false lets `pulumi destroy` throw the passphrase away.
 */
import * as pulumi from "@pulumi/pulumi";
import { type LocalBucket, type LocalSettings, program } from "./program";

const config = new pulumi.Config();
const port = config.getNumber("port");
const caFile = config.get("caFile");
const nodePath = config.get("nodePath");
const protect = config.getBoolean("protect");
const bucket: LocalBucket = {
  name: config.require("bucket"),
  endpoint: config.require("endpoint"),
  region: config.require("region"),
  accessKeyId: config.requireSecret("accessKeyId"),
  secretAccessKey: config.requireSecret("secretAccessKey"),
  ...(port === undefined ? {} : { port }),
  ...(caFile === undefined ? {} : { caFile }),
};

export const { topology, pendingRestart, timersEnabled, firstBackup, restoreCommand, passphrase } = program({
  dataDirectory: config.require("dataDirectory"),
  nasPath: config.require("nasPath"),
  bucket,
  host: {
    ...config.getObject<NonNullable<LocalSettings["host"]>>("host"),
    ...(nodePath === undefined ? {} : { nodePath }),
  },
  ...(protect === undefined ? {} : { protect }),
});
