/** Complete CloudNativePG clusters for tests of pure functions. Each test overrides what it needs. */
import { view } from "../../components/plan/model/deferred";
import type { DeclaredCluster } from "../../components/plan/cluster/declaredCluster";
import { planCluster } from "../../components/plan/cluster/planCluster";
import type { RepositorySecrets, ClusterPlan } from "../../components/plan/cluster/clusterPlan";
import type { EngineContext } from "../../components/render/engines/engine";
import type { Manifest, RenderedObject } from "../../components/render/kubernetes/objects";
import { BUCKET, R2 } from "./plans";

export const SECRETS: RepositorySecrets = {
  repo1: {
    accessKeyId: { name: "orders-repo1", key: "ACCESS_KEY_ID" },
    secretAccessKey: { name: "orders-repo1", key: "ACCESS_SECRET_KEY" },
    passphrase: { name: "orders-repo1", key: "ENCRYPTION_PASS" },
  },
  repo2: {
    accessKeyId: { name: "cnpg-secret", key: "r2-access-key-id" },
    secretAccessKey: { name: "cnpg-secret", key: "r2-secret-access-key" },
    passphrase: { name: "orders-repo2", key: "ENCRYPTION_PASS" },
  },
};

export function declaredCluster(over: Partial<DeclaredCluster> = {}): DeclaredCluster {
  return {
    namespace: "orders",
    instances: 3,
    postgresVersion: 18,
    storageGiB: 50,
    repositories: { repo1: BUCKET, repo2: R2 },
    schedules: { full: { cron: "0 3 * * 0" }, incr: { cron: "0 3 * * 1-6" } },
    drills: { weekly: { cron: "0 5 * * 6", from: "repo2", elsewhere: true } },
    ...over,
  };
}

export function resolved(over: Partial<DeclaredCluster> = {}): ClusterPlan {
  return planCluster("orders", view(declaredCluster(over)));
}

export function context(over: Partial<DeclaredCluster> = {}, secrets: RepositorySecrets = SECRETS): EngineContext {
  return contextOf(declaredCluster(over), secrets);
}

export function contextOf(declared: DeclaredCluster, secrets: RepositorySecrets = SECRETS): EngineContext {
  const { database, schedules, definition } = planCluster("orders", declared);
  const runtime = { configMap: "orders-runtime-0123456789ab", image: "docker.io/library/node:24-slim@sha256:0123" };
  return { database, definition, schedules, secrets, runtime };
}

/** The object with that role. @throws Error if it is missing */
export function objectOf(objects: readonly RenderedObject[], role: string): Manifest {
  const result = objects.find((object) => object.role === role);
  if (result === undefined) throw new Error(`no ${role} among ${objects.map((object) => object.role).join(", ")}`);
  return result.manifest;
}
