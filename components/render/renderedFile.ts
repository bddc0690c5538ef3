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
  readonly includeDirectory: string;
  readonly settings: string;
  readonly runtime: string;
}

/** @param directories `config` and `lib` of the plan */
export function hostPaths(directories: { readonly config: string; readonly lib: string }): HostPaths {
  return {
    conf: `${directories.config}/pgbackrest.conf`,
    includeDirectory: `${directories.config}/conf.d`,
    settings: `${directories.config}/pgbackstop.json`,
    runtime: `${directories.lib}/runtime.cjs`,
  };
}

/** The private key for the SFTP server of one repository. Beside the credentials; pgBackRest reads only `.conf` files there by itself. */
export function sftpKeyPath(directories: { readonly config: string; readonly lib: string }, repositoryName: string): string {
  return `${hostPaths(directories).includeDirectory}/${repositoryName}-sftp.key`;
}

/** The credentials file of one repository; besides private keys the only kind of file with secrets. */
export function credentialsPath(directories: { readonly config: string; readonly lib: string }, repositoryName: string): string {
  return `${hostPaths(directories).includeDirectory}/${repositoryName}-credentials.conf`;
}
