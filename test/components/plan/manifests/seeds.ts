/** Kubernetes objects of two published set-ups, with their values, comments and mistakes. */

type Json = Record<string, unknown>;

function backup(name: string, spec: Json): Json {
  return {
    apiVersion: "postgresql.cnpg.io/v1",
    kind: "ScheduledBackup",
    metadata: { name, namespace: "database" },
    spec,
  };
}

/** The earlier Barman set-up: "Both ScheduledBackups were writing to B2". The bucket at R2 stayed empty. */
export const TWO_OBJECT_STORES: readonly Json[] = [
  {
    apiVersion: "postgresql.cnpg.io/v1",
    kind: "Cluster",
    metadata: { name: "immich", namespace: "database" },
    spec: {
      instances: 3,
      plugins: [
        { name: "barman-cloud.cloudnative-pg.io", isWALArchiver: true, parameters: { barmanObjectName: "immich-b2" } },
      ],
    },
  },
  ...["b2", "r2"].map((location, index) =>
    backup(`immich-daily-${location}`, {
      schedule: `0 ${index} 3 * * *`,
      backupOwnerReference: "self",
      method: "plugin",
      cluster: { name: "immich" },
      pluginConfiguration: {
        name: "barman-cloud.cloudnative-pg.io",
        parameters: { barmanObjectName: `immich-${location}` },
      },
    }),
  ),
];

const SECRET_REF = {
  accessKeyId: { name: "immich-cnpg-secret", key: "key-id" },
  secretAccessKey: { name: "immich-cnpg-secret", key: "secret" },
};

export const CONTROLLER: Json = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "pgbackrest-controller", namespace: "database" },
  spec: {
    replicas: 1,
    template: {
      spec: {
        containers: [
          {
            name: "pgbackrest-controller",
            image: "registry.hub.docker.com/dalibo/cnpg-pgbackrest-controller:latest",
            env: [{ name: "SIDECAR_IMAGE", value: "registry.hub.docker.com/dalibo/cnpg-pgbackrest-sidecar:latest" }],
          },
        ],
      },
    },
  },
};

export const BARMAN_CONTROLLER: Json = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "barman-cloud-plugin-barman-cloud", namespace: "database" },
  spec: { template: { spec: { containers: [{ image: "ghcr.io/cloudnative-pg/plugin-barman-cloud:v0.10.0" }] } } },
};

export const SERVICE: Json = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "pgbackrest", namespace: "database" },
  spec: {},
};

export const REPOSITORY: Json = {
  apiVersion: "pgbackrest.dalibo.com/v1",
  kind: "Repository",
  metadata: { name: "immich18-repository", namespace: "database" },
  spec: {
    repoConfiguration: {
      stanza: "immich18",
      archive: { async: true, pushQueueMax: "1GiB" },
      s3Repositories: [
        {
          bucket: "nerdz-postgres-immich",
          endpoint: "s3.us-east-005.backblazeb2.com",
          region: "us-east-005",
          repoPath: "/immich18",
          retentionPolicy: { full: 14, fullType: "count" },
          secretRef: SECRET_REF,
        },
        {
          bucket: "nerdz-postgres-immich",
          endpoint: "${CLOUDFLARE_ACCOUNT_ID}.r2.cloudflarestorage.com",
          region: "auto",
          repoPath: "/immich18",
          retentionPolicy: { full: 14, fullType: "count" },
          secretRef: SECRET_REF,
        },
      ],
    },
  },
};

export const CLUSTER: Json = {
  apiVersion: "postgresql.cnpg.io/v1",
  kind: "Cluster",
  metadata: { name: "immich18", namespace: "database" },
  spec: {
    instances: 3,
    plugins: [{ name: "pgbackrest.dalibo.com", parameters: { repositoryRef: "immich18-repository" } }],
  },
};

function daliboBackup(name: string, over: Json): Json {
  return backup(name, {
    schedule: "0 3 * * *",
    method: "plugin",
    target: "primary",
    backupOwnerReference: "self",
    cluster: { name: "immich18" },
    pluginConfiguration: { name: "pgbackrest.dalibo.com" },
    ...over,
  });
}

/** "WAL archives were in both. Full backup was only in B2." */
export const FIRST_BACKUP = daliboBackup("immich18-daily-b2", {});
export const FROM_A_STANDBY = daliboBackup("immich18-daily-b2", { target: undefined });

/** "The Final Configuration: Two ScheduledBackups". */
export const FINAL_BACKUPS: readonly Json[] = [
  daliboBackup("immich18-daily-b2", {
    immediate: true,
    pluginConfiguration: { name: "pgbackrest.dalibo.com", parameters: { selectedRepository: "1" } },
  }),
  daliboBackup("immich18-daily-r2", {
    schedule: "0 4 * * *",
    immediate: false,
    pluginConfiguration: { name: "pgbackrest.dalibo.com", parameters: { selectedRepository: "2" } },
  }),
];

export const EXTERNAL_SECRET: Json = {
  apiVersion: "external-secrets.io/v1beta1",
  kind: "ExternalSecret",
  metadata: { name: "cnpg-secret", namespace: "database" },
  spec: {
    secretStoreRef: { kind: "ClusterSecretStore", name: "onepassword-connect" },
    target: { name: "cnpg-secret" },
    data: [],
  },
};

/** The Barman set-up with MinIO. */
export const MINIO: readonly Json[] = [
  {
    apiVersion: "barmancloud.cnpg.io/v1",
    kind: "ObjectStore",
    metadata: { name: "app-minio-store", namespace: "app" },
    spec: {
      configuration: {
        destinationPath: "s3://homelab-postgres-backups/app/app-db",
        endpointURL: "https://truenas.peekoff.com:9000",
        s3Credentials: {
          accessKeyId: { name: "longhorn-minio-credentials", key: "AWS_ACCESS_KEY_ID" },
          secretAccessKey: { name: "longhorn-minio-credentials", key: "AWS_SECRET_ACCESS_KEY" },
        },
      },
    },
  },
  {
    apiVersion: "postgresql.cnpg.io/v1",
    kind: "Cluster",
    metadata: { name: "app-db", namespace: "app" },
    spec: {
      plugins: [
        {
          name: "barman-cloud.cloudnative-pg.io",
          isWALArchiver: true,
          parameters: { barmanObjectName: "app-minio-store" },
        },
      ],
    },
  },
  {
    apiVersion: "postgresql.cnpg.io/v1",
    kind: "ScheduledBackup",
    metadata: { name: "app-db-backup", namespace: "app" },
    spec: {
      schedule: "0 3 * * *",
      backupOwnerReference: "self",
      cluster: { name: "app-db" },
      method: "plugin",
      pluginConfiguration: { name: "barman-cloud.cloudnative-pg.io" },
    },
  },
];
