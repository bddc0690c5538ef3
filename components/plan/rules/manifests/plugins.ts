/** Names of the plugins that this package checks, as clusters and backups of CloudNativePG write them. Pure data. */
export const BARMAN = "barman-cloud.cloudnative-pg.io";
export const DALIBO = "pgbackrest.dalibo.com";

/** Parameters that each plugin needs in the Cluster; the first name is the current one. */
export const DESTINATION_PARAMETERS: Readonly<Record<string, readonly string[]>> = {
  [BARMAN]: ["barmanObjectName"],
  [DALIBO]: ["stanzaRef", "repositoryRef"],
};
