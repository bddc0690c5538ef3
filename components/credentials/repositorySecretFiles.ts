/**
 * The only code that turns secrets into text: one credentials file per repository, which the runtime and stock
 * pgBackRest read besides the configuration, and the private key for an SFTP server. The texts are secret outputs from
 * here to the host.
 */
import { type SecretLayout, secretsDirectory } from "../plan/host/hostCommand";
import * as pulumi from "@pulumi/pulumi";
import { appliedSecret, secretText } from "../internal/inputs";
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
  const render = (values: readonly string[]): string =>
    renderConf(
      [
        {
          name: "global",
          options: secrets.map(([name], index) => ({
            name: `${repositoryName}-${name}`,
            value: values[index] as string,
          })),
        },
      ],
      `Written by pgbackstop: secrets of one repository. Keep it readable for ${layout.agent ? "root" : "the account of PostgreSQL"} only.`,
    );
  const texts = secrets.map(([, value]) => secretText(value));
  const [first, ...others] = texts;
  // Joining outputs makes several more, and most repositories have only a passphrase.
  const text =
    first !== undefined && others.length === 0
      ? appliedSecret(first, (known) => render([known]))
      : pulumi.all(texts).apply(render);
  return { path: credentialsPath(layout, repositoryName), text };
}

function secretOptions(target: RepositoryTarget): Record<string, pulumi.Input<string> | undefined> {
  return { "cipher-pass": target.cipher?.passphrase, ...typeOf({ kind: kindOf(target) }).secrets(target) };
}
