import { fields } from "../../plan/model/deferred";
import { secretsDirectory, type SecretLayout } from "../../plan/host/hostCommand";

/**
 * A desired file of a host. Its text never contains a secret: secrets travel separately
 * (credentials/repositorySecretFiles.ts).
 */
export interface RenderedFile {
  /** Absolute. */
  readonly path: string;
  /** Four octal digits: `0644`. */
  readonly mode: string;
  /**
   * `admin` is root, or the login if that is not root; `database` is the account of PostgreSQL; `shared` is admin's,
   * with the group of PostgreSQL's account.
   */
  readonly owner: FileOwner;
  readonly text: string;
}

/** A file whose text is deferred if it reads a deferred value. */
export function madeFile(path: string, [mode, owner]: Rights, text: () => string): RenderedFile {
  return fields({ path: () => path, mode: () => mode, owner: () => owner, text });
}

type Rights = readonly [mode: string, owner: FileOwner];

export type FileOwner = "admin" | "database" | "shared";

/** Targets for the verb `notify`. Secret as a whole. */
export function notifyPath(layout: SecretLayout): string {
  return `${secretsDirectory(layout)}/notify.json`;
}

export const OTLP_FILE = "otlp.env";

/** Where metrics are sent. Secret as a whole. */
export function otlpPath(layout: SecretLayout): string {
  return `${secretsDirectory(layout)}/${OTLP_FILE}`;
}

export const REPORT_PASSWORD = "report-password";

/** Password of the page about the backups. */
export function reportPasswordPath(layout: SecretLayout): string {
  return `${secretsDirectory(layout)}/${REPORT_PASSWORD}`;
}

/** A stanza's file for the textfile collector. */
export function metricsFile({
  directories,
  stanza,
}: {
  readonly directories: { readonly metrics: string };
  readonly stanza: string;
}): string {
  return `${directories.metrics}/pgbackstop-${stanza}.prom`;
}

/** The credentials file of one repository; besides private keys the only kind of file with secrets. */
export function credentialsPath(layout: SecretLayout, repositoryName: string): string {
  return `${secretsDirectory(layout)}/${repositoryName}${layout.agent ? "" : "-credentials"}.conf`;
}
