/** Names by which clusters and backups of CloudNativePG call the plugins that this package judges. Pure data. */
export const BARMAN = "barman-cloud.cloudnative-pg.io";
export const DALIBO = "pgbackrest.dalibo.com";

/** What each plugin must be told by the Cluster; the first name is today's. */
export const DESTINATION_PARAMETERS: Readonly<Record<string, readonly string[]>> = {
  [BARMAN]: ["barmanObjectName"],
  [DALIBO]: ["stanzaRef", "repositoryRef"],
};
