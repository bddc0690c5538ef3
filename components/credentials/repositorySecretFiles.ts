/**
 * The only place where secrets become text: one credentials file per repository, read by the runtime and by stock pgBackRest besides the
 * configuration, and the private key for an SFTP server. The texts are secret outputs from here to the host.
 */
import { type SecretPlace } from "../plan/host/hostCommand";
import * as pulumi from "@pulumi/pulumi";
import { renderConf } from "../../runtime/config/render";
import { credentialsPath, sftpKeyPath } from "../render/host/renderedFile";
import type { RepositoryTarget } from "../repositories/target";

export interface SecretFile {
  readonly path: string;
  readonly text: pulumi.Output<string>;
}

/** The files with secrets of one repository; none when it has none. */
export function secretFiles(place: SecretPlace, repositoryName: string, target: RepositoryTarget): SecretFile[] {
  const credentials = findCredentials(place, repositoryName, target);
  const key = target.sftp?.privateKey;
  return [
    ...(credentials === null ? [] : [credentials]),
    // Without the end of its last line a key cannot be read everywhere.
    ...(key === undefined
      ? []
      : [{ path: sftpKeyPath(place, repositoryName), text: pulumi.secret(pulumi.output(key).apply((text) => `${text.trimEnd()}\n`)) }]),
  ];
}

function findCredentials(place: SecretPlace, repositoryName: string, target: RepositoryTarget): SecretFile | null {
  const secrets = Object.entries(secretOptions(target)).filter((entry): entry is [string, pulumi.Input<string>] => entry[1] !== undefined);
  if (secrets.length === 0) return null;
  const text = pulumi
    .all(secrets.map(([name, value]) => pulumi.output(value).apply((known) => ({ name: `${repositoryName}-${name}`, value: known }))))
    .apply((options) =>
      renderConf(
        [{ name: "global", options }],
        `Written by pgbackstop: secrets of one repository. Keep it readable for ${place.agent ? "root" : "the account of PostgreSQL"} only.`,
      ),
    );
  return { path: credentialsPath(place, repositoryName), text: pulumi.secret(text) };
}

function secretOptions(target: RepositoryTarget): Record<string, pulumi.Input<string> | undefined> {
  const credentials = target.s3?.credentials;
  return {
    "cipher-pass": target.cipher?.passphrase,
    "s3-key": credentials?.accessKeyId,
    "s3-key-secret": credentials?.secretAccessKey,
    "s3-token": credentials?.sessionToken,
    "sftp-private-key-passphrase": target.sftp?.privateKeyPassphrase,
  };
}
