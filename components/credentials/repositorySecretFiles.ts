/**
 * The only code that turns secrets into text: one credentials file per repository, which the runtime and stock
 * pgBackRest read besides the configuration, and the private key for an SFTP server. The texts are secret outputs from
 * here to the host.
 */
import { type SecretLayout, secretsDirectory } from "../plan/host/hostCommand";
import * as pulumi from "@pulumi/pulumi";
import { secretText } from "../internal/inputs";
import { renderConf } from "../../runtime/config/render";
import { kindOf, typeOf } from "../plan/repositories/repositoryTypes";
import { credentialsPath } from "../render/host/renderedFile";
import type { RepositoryTarget } from "../repositories/target";

export interface SecretFile {
  readonly path: string;
  readonly text: pulumi.Output<string>;
}

/** The files with secrets of one repository; empty without secrets. */
export function secretFiles(layout: SecretLayout, repositoryName: string, target: RepositoryTarget): SecretFile[] {
  const credentials = findCredentials(layout, repositoryName, target);
  const secret = typeOf({ kind: kindOf(target) }).secretText(target);
  if (secret === null) return credentials === null ? [] : [credentials];
  const path = `${secretsDirectory(layout)}/${repositoryName}-${secret.fileName}`;
  // Without the end of its last line a key cannot be read everywhere.
  const text = pulumi.secret(pulumi.output(secret.text).apply((known) => `${known.trimEnd()}\n`));
  return [...(credentials === null ? [] : [credentials]), { path, text }];
}

function findCredentials(layout: SecretLayout, repositoryName: string, target: RepositoryTarget): SecretFile | null {
  const secrets = Object.entries(secretOptions(target)).filter(
    (entry): entry is [string, pulumi.Input<string>] => entry[1] !== undefined,
  );
  if (secrets.length === 0) return null;
  const text = pulumi
    .all(Object.fromEntries(secrets.map(([name, value]) => [`${repositoryName}-${name}`, secretText(value)])))
    .apply((known) =>
      renderConf(
        [{ name: "global", options: Object.entries(known).map(([name, value]) => ({ name, value })) }],
        `Written by pgbackstop: secrets of one repository. Keep it readable for ${layout.agent ? "root" : "the account of PostgreSQL"} only.`,
      ),
    );
  return { path: credentialsPath(layout, repositoryName), text };
}

function secretOptions(target: RepositoryTarget): Record<string, pulumi.Input<string> | undefined> {
  return { "cipher-pass": target.cipher?.passphrase, ...typeOf({ kind: kindOf(target) }).secrets(target) };
}
