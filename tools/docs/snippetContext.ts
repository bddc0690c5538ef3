/** Names that parts of programs in docs/ may use: repositories, databases and keys made elsewhere. */
import type * as pulumi from "@pulumi/pulumi";
import type {
  B2Repository,
  CipherPassphrase,
  ClusterRepositoryArgs,
  ClusterSchedules,
  CnpgClusterArgs,
  CnpgCluster,
  CnpgPlugin,
  PosixRepository,
  PostgresHost,
  PostgresHostArgs,
  R2Repository,
  RepositoryHost,
  SshConnection,
} from "pgbackstop";

export type { pulumi };
export { readFileSync } from "node:fs";
export declare const b2: B2Repository;
export declare const r2: R2Repository;
export declare const other: R2Repository;
export declare const nas: PosixRepository;
export declare const vault: RepositoryHost;
export declare const key: CipherPassphrase;
export declare const plugin: CnpgPlugin;
export declare const orders: CnpgCluster;
export declare const ledger: PostgresHost;
export declare const db: PostgresHost;
export declare const ssh: SshConnection;
export declare const repositories: { [key: string]: ClusterRepositoryArgs };
export declare const schedules: ClusterSchedules;
export declare const config: pulumi.Config;
export declare const network: pulumi.StackReference;
export declare const args: PostgresHostArgs;
export declare const clusterArgs: CnpgClusterArgs;
export declare const schemaVersion: string;
export declare const stopWrites: pulumi.Resource;
export declare const oldCa: string;
