/**
 * The program of `Pulumi.yaml`: reads the stack's configuration and calls program.ts.
 *
 *     pulumi config set dataDirectory /var/lib/postgresql/18/main
 *     pulumi config set nasPath /mnt/nas/pgbackrest
 *     pulumi config set bucket my-backups
 *     pulumi config set endpoint s3.example.net
 *     pulumi config set region us-east-1
 *     pulumi config set --secret accessKeyId …
 *     pulumi config set --secret secretAccessKey …
 *
 * `host` takes arguments of `PostgresHost`: differences from a standard Debian, and permissions for updates.
 *
 *     pulumi config set --path host.allowRestart true
 *
 * Set `protect` to false to let `pulumi destroy` delete the passphrase.
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
