/** How other components run programs on a host. */
import type * as pulumi from "@pulumi/pulumi";
import type { HostConnection } from "./hostArgs";

/** The inputs of one-shot actions on a host: `access` of a PostgresHost. Credentials are secret. */
export interface HostAccess {
  /** Connection to the host, with its declared keys. */
  connection: pulumi.Input<HostConnection>;
  /** Account that starts `runtimeArgv`: root if there is an agent, else PostgreSQL's. */
  user: pulumi.Input<string>;
  /** Program and options before each verb. Resolves when the host is ready. */
  runtimeArgv: pulumi.Input<string[]>;
  /**
   * PostgreSQL's operating system account, which runs the verbs. Absent with engine "pgbackrest", which has none of
   * this package's verbs.
   */
  databaseUser?: pulumi.Input<string>;
  /** Path of Node.js, if `runtimeArgv` begins with another program. */
  nodePath?: pulumi.Input<string>;
  /** Where PostgreSQL listens on the host. If omitted, at its usual socket. */
  server?: pulumi.Input<HostServer>;
}

/** Local connections to a host's PostgreSQL. */
export interface HostServer {
  /** Directory of its socket. */
  socketDirectory: pulumi.Input<string>;
  /** Its port. @minimum 1 @maximum 65535 */
  port: pulumi.Input<number>;
  /** Role of the backup program. If omitted, PostgreSQL's account. */
  user?: pulumi.Input<string>;
}
