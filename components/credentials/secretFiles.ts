/**
 * The only place where secrets become text: one credentials file per repository, read by the runtime and by stock pgBackRest besides the
 * configuration. The texts are secret outputs from here to the host.
 */
import * as pulumi from "@pulumi/pulumi";
import { renderConf } from "../../runtime/config/render";
import { credentialsPath } from "../render/renderedFile";
import type { RepositoryTarget } from "../repositories/target";

export interface SecretFile {
  readonly path: string;
  readonly text: pulumi.Output<string>;
}

/** The credentials file of one repository, or null when it needs none. */
export function findSecretFile(
  directories: { readonly config: string; readonly lib: string },
  repositoryName: string,
  target: RepositoryTarget,
): SecretFile | null {
  const secrets = Object.entries(secretOptions(target)).filter((entry): entry is [string, pulumi.Input<string>] => entry[1] !== undefined);
  if (secrets.length === 0) return null;
  const text = pulumi
    .all(secrets.map(([name, value]) => pulumi.output(value).apply((known) => ({ name: `${repositoryName}-${name}`, value: known }))))
    .apply((options) =>
      renderConf(
        [{ name: "global", options }],
        "Written by pgbackstop: secrets of one repository. Keep it readable for the account of PostgreSQL only.",
      ),
    );
  return { path: credentialsPath(directories, repositoryName), text: pulumi.secret(text) };
}

function secretOptions(target: RepositoryTarget): Record<string, pulumi.Input<string> | undefined> {
  const credentials = target.s3?.credentials;
  return {
    "cipher-pass": target.cipher?.passphrase,
    "s3-key": credentials?.accessKeyId,
    "s3-key-secret": credentials?.secretAccessKey,
    "s3-token": credentials?.sessionToken,
  };
}
