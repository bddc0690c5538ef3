/**
 * Clusters that people run, and samples of CloudNativePG's documentation, as arguments. Names are replaced.
 */
import type { CnpgClusterArgs } from "../../components/databases/cnpgArgs";
import { given } from "../../runtime/base/given";
import type { DeclaredCluster } from "../../components/plan/cluster/declaredCluster";
import { declaredCluster } from "./clusters";

export interface PublicCluster {
  /** The manifest's `spec` without archiver and backups. */
  readonly spec: object;
  readonly pooler?: object;
}

const CONTROL_PLANE = { key: "node-role.kubernetes.io/control-plane", operator: "Exists", effect: "NoSchedule" };
const ON_DATABASE_NODES = {
  nodeSelector: { "node-role.kubernetes.io/postgres": "" },
  tolerations: [{ key: "node-role.kubernetes.io/postgres", operator: "Exists", effect: "NoSchedule" }],
  enablePodAntiAffinity: true,
  topologyKey: "kubernetes.io/hostname",
  podAntiAffinityType: "required" as const,
};
const PARAMETERS = {
  "pg_stat_statements.max": "10000",
  "pgaudit.log": "ddl,role,misc_set",
  shared_memory_type: "sysv",
};
const SPREAD = {
  maxSkew: 1,
  topologyKey: "topology.kubernetes.io/zone",
  whenUnsatisfiable: "DoNotSchedule",
  labelSelector: { matchLabels: { "cnpg.io/cluster": "orders" } },
};
const SOURCES = [
  { serviceAccountToken: { audience: "sts.example.net", expirationSeconds: 86400, path: "sts/token" } },
  { configMap: { name: "bundle", items: [{ key: "trust.pem", path: "certificate/trust.pem" }] } },
  { secret: { name: "pair", items: [{ key: "tls.crt", path: "certificate/tls.crt" }] } },
];
const SITES = ["a", "b"].map((site) => ({
  name: `site-${site}`,
  plugin: { name: "barman-cloud.cloudnative-pg.io", parameters: { barmanObjectName: `store-${site}` } },
}));
const NODES = {
  requiredDuringSchedulingIgnoredDuringExecution: {
    nodeSelectorTerms: [
      { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: ["node-0", "node-1"] }] },
    ],
  },
};
const SNAPSHOT = { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "postgres-backup" };

export const PUBLIC_CLUSTERS: Readonly<Record<string, PublicCluster>> = {
  "dedicated nodes, roles and a pooler": {
    spec: {
      instances: 3,
      imageName: "ghcr.io/cloudnative-pg/postgresql:18-standard-trixie",
      storage: { size: "1Gi" },
      walStorage: { size: "1Gi" },
      affinity: ON_DATABASE_NODES,
      enableSuperuserAccess: true,
      superuserSecret: { name: "orders-superuser" },
      bootstrap: { initdb: { dataChecksums: true, database: "shop", owner: "app", secret: { name: "orders-app" } } },
      managed: {
        roles: [
          {
            name: "app",
            ensure: "present",
            login: true,
            inherit: true,
            connectionLimit: -1,
            passwordSecret: { name: "orders-app" },
          },
          {
            name: "readonly",
            ensure: "present",
            login: true,
            inherit: true,
            connectionLimit: -1,
            disablePassword: true,
          },
        ],
      },
      postgresql: { parameters: PARAMETERS },
      certificates: { serverAltDNSNames: ["orders.example.net"] },
    },
    pooler: {
      cluster: { name: "orders" },
      instances: 2,
      type: "rw",
      pgbouncer: { poolMode: "session", parameters: { max_client_conn: "1000", default_pool_size: "10" } },
    },
  },
  "one instance on the control plane, with SQL from ConfigMaps": {
    spec: {
      instances: 1,
      primaryUpdateStrategy: "unsupervised",
      postgresql: { parameters: { max_connections: "100", shared_buffers: "256MB" } },
      superuserSecret: { name: "postgresql-superuser" },
      bootstrap: {
        initdb: {
          database: "shop",
          owner: "shop",
          secret: { name: "shop-user" },
          postInitSQLRefs: { configMapRefs: [{ name: "init-global", key: "init.sql" }] },
          postInitApplicationSQLRefs: { configMapRefs: [{ name: "init-app", key: "init.sql" }] },
        },
      },
      storage: { size: "3Gi", storageClass: "nfs" },
      resources: { requests: { cpu: "100m", memory: "256Mi" }, limits: { cpu: "500m", memory: "512Mi" } },
      affinity: { tolerations: [CONTROL_PLANE] },
      monitoring: { enablePodMonitor: true, customQueriesConfigMap: [{ name: "metrics", key: "queries" }] },
    },
  },
  "projected volumes": {
    spec: {
      instances: 2,
      storage: { size: "10Gi", storageClass: "local-path" },
      superuserSecret: { name: "superuser-secret" },
      bootstrap: { initdb: { database: "shop", owner: "shop", secret: { name: "shop-password" } } },
      resources: { requests: { cpu: "20m", memory: "150Mi" } },
      projectedVolumeTemplate: { sources: SOURCES },
    },
  },
  "a restore from a snapshot on named nodes": {
    spec: {
      instances: 3,
      imageName: "ghcr.io/cloudnative-pg/postgresql:16.4",
      affinity: { nodeAffinity: NODES },
      env: [{ name: "TZ", value: "Europe/Amsterdam" }],
      primaryUpdateStrategy: "unsupervised",
      primaryUpdateMethod: "switchover",
      storage: { size: "32Gi", storageClass: "strict-local" },
      enableSuperuserAccess: true,
      postgresql: { parameters: { max_connections: "400", shared_buffers: "256MB" } },
      resources: { requests: { cpu: "500m" }, limits: { memory: "2Gi" } },
      monitoring: { enablePodMonitor: false },
      bootstrap: { recovery: { volumeSnapshots: { storage: SNAPSHOT } } },
    },
  },
  "users, delays and replication slots": {
    spec: {
      logLevel: "info",
      startDelay: 30,
      stopDelay: 30,
      nodeMaintenanceWindow: { inProgress: false },
      enableSuperuserAccess: true,
      monitoring: { disableDefaultQueries: false, enablePodMonitor: false },
      minSyncReplicas: 0,
      maxSyncReplicas: 0,
      postgresUID: 26,
      postgresGID: 26,
      replicationSlots: { highAvailability: { slotPrefix: "_cnp_" }, updateInterval: 30 },
      primaryUpdateMethod: "switchover",
      primaryUpdateStrategy: "unsupervised",
      walStorage: { resizeInUseVolumes: true, size: "1Gi" },
      storage: { resizeInUseVolumes: true, size: "2Gi" },
      switchoverDelay: 40000000,
      instances: 2,
      imagePullPolicy: "Always",
    },
  },
  "spread over zones, with labels for all objects": {
    spec: {
      instances: 2,
      storage: { size: "20Gi" },
      topologySpreadConstraints: [SPREAD],
      monitoring: { enablePodMonitor: true },
      inheritedMetadata: { labels: { "policy.example.net/allow-to-apiserver": "true" } },
    },
  },
  "the sample with every kind of field": {
    spec: {
      description: "Example of cluster",
      imageName: "ghcr.io/cloudnative-pg/postgresql:18.4-system-trixie",
      instances: 3,
      startDelay: 300,
      stopDelay: 300,
      primaryUpdateStrategy: "unsupervised",
      postgresql: {
        parameters: { shared_buffers: "256MB", "auto_explain.log_min_duration": "10s" },
        pg_hba: ["host all all 10.244.0.0/16 md5"],
      },
      bootstrap: { initdb: { database: "app", owner: "app", secret: { name: "orders-app-user" } } },
      enableSuperuserAccess: true,
      superuserSecret: { name: "orders-superuser" },
      storage: { storageClass: "standard", size: "1Gi" },
      resources: { requests: { memory: "512Mi", cpu: "1" }, limits: { memory: "1Gi", cpu: "2" } },
      affinity: { enablePodAntiAffinity: true, topologyKey: "failure-domain.beta.kubernetes.io/zone" },
      nodeMaintenanceWindow: { inProgress: false, reusePVC: false },
    },
  },
  "a distributed topology of two sites": {
    spec: {
      instances: 3,
      primaryUpdateStrategy: "unsupervised",
      storage: { storageClass: "csi", size: "1Gi" },
      replica: { self: "site-a", primary: "site-a", source: "site-b" },
      externalClusters: SITES,
    },
  },
  "an import over TLS": {
    spec: {
      instances: 3,
      bootstrap: {
        initdb: { import: { type: "microservice", databases: ["app"], source: { externalCluster: "source" } } },
      },
      storage: { size: "1Gi" },
      externalClusters: [
        {
          name: "source",
          connectionParameters: { host: "old-rw.default.svc", user: "app", dbname: "app" },
          sslKey: { name: "old-app-tls", key: "tls.key" },
          sslCert: { name: "old-app-tls", key: "tls.crt" },
          sslRootCert: { name: "old-ca", key: "ca.crt" },
        },
      ],
    },
  },
  "Services of one's own": {
    spec: {
      instances: 1,
      storage: { size: "1Gi" },
      managed: {
        services: {
          disabledDefaultServices: ["ro", "r"],
          additional: [
            {
              selectorType: "rw",
              serviceTemplate: {
                metadata: { name: "test-rw", labels: { "test-label": "true" } },
                spec: { type: "LoadBalancer" },
              },
            },
          ],
        },
      },
    },
  },
};

/** Arguments that make it: the manifest as it is in `spec`, or the shorter ones where a field has one. */
export function programsOf({ pooler, spec }: PublicCluster): Readonly<Record<"pasted" | "shortened", Program>> {
  const { instances, imageName: image, postgresql, storage, ...others } = spec as Manifest;
  const { parameters, ...configuration } = postgresql ?? {};
  const { size, storageClass, ...volume } = storage ?? {};
  const { instances: count, pgbouncer } = (pooler ?? {}) as Pooler;
  const poolers =
    pooler === undefined ? {} : { poolers: { web: { instances: count, parameters: pgbouncer.parameters } } };
  const own = given({ instances, image, storageClass, parameters });
  const left = { ...others, ...filled("postgresql", configuration), ...filled("storage", volume) };
  const storageGiB = Number.parseInt(size ?? "0", 10);
  return {
    pasted: { spec, ...poolers } as Program,
    shortened: { ...own, storageGiB, spec: left, ...poolers } as Program,
  };
}

type Program = Omit<CnpgClusterArgs, "namespace" | "repositories">;

interface Manifest {
  readonly instances?: number;
  readonly imageName?: string;
  readonly postgresql?: { readonly parameters?: object };
  readonly storage?: { readonly size?: string; readonly storageClass?: string };
}

interface Pooler {
  readonly instances: number;
  readonly pgbouncer: { readonly parameters: object };
}

function filled(name: string, section: object): object {
  return Object.keys(section).length === 0 ? {} : { [name]: section };
}

/** With the repositories of other tests. */
export function declaredAs(program: Program): DeclaredCluster {
  const {
    drills: _drills,
    instances: _instances,
    postgresVersion: _version,
    storageGiB: _size,
    ...base
  } = declaredCluster();
  return { ...base, ...program } as DeclaredCluster;
}
