/** A file as a host shall have it. Its text never holds a secret: secrets travel apart (credentials/secretFiles.ts). */
export interface RenderedFile {
  /** Absolute. */
  readonly path: string;
  /** Four octal digits: `0644`. */
  readonly mode: string;
  /**
   * `admin` is root, or the account that the host is reached with when that is not root; `database` is the account of PostgreSQL; `shared` is
   * admin's, with the group of PostgreSQL's account.
   */
  readonly owner: FileOwner;
  readonly text: string;
}

export type FileOwner = "admin" | "database" | "shared";

/** Where each file of a host lies. */
export interface HostPaths {
  readonly conf: string;
  readonly settings: string;
  readonly runtime: string;
  /** What PostgreSQL's commands ask the agent with. */
  readonly client: string;
}

/** Where secrets lie on a host, which decides who can read them. */
export interface SecretPlace {
  readonly directories: { readonly config: string };
  readonly agent: boolean;
}

/** @param directories `config` and `lib` of the plan */
export function hostPaths(directories: { readonly config: string; readonly lib: string }): HostPaths {
  return {
    conf: `${directories.config}/pgbackrest.conf`,
    settings: `${directories.config}/pgbackstop.json`,
    runtime: `${directories.lib}/runtime.cjs`,
    client: `${directories.lib}/pgbackrest-client`,
  };
}

/** Of root alone where systemd hands the secrets to units; else of PostgreSQL's account, and read besides the configuration. */
export function secretsDirectory({ directories, agent }: SecretPlace): string {
  return `${directories.config}/${agent ? "credentials" : "conf.d"}`;
}

/** Whom to tell, as the verb `notify` reads it. A secret as a whole. */
export function notifyPath(place: SecretPlace): string {
  return `${secretsDirectory(place)}/notify.json`;
}

/** What the textfile collector reads of a stanza. */
export function metricsFile({ directories, stanza }: { readonly directories: { readonly metrics: string }; readonly stanza: string }): string {
  return `${directories.metrics}/pgbackstop-${stanza}.prom`;
}

/** The private key for the SFTP server of one repository. Beside the credentials; pgBackRest reads only `.conf` files there by itself. */
export function sftpKeyPath(place: SecretPlace, repositoryName: string): string {
  return `${secretsDirectory(place)}/${repositoryName}-sftp.key`;
}

/** The credentials file of one repository; besides private keys the only kind of file with secrets. */
export function credentialsPath(place: SecretPlace, repositoryName: string): string {
  return `${secretsDirectory(place)}/${repositoryName}${place.agent ? "" : "-credentials"}.conf`;
}
