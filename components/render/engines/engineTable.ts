/** What engines render, by their name in plan/engines/engines.ts: for clusters, and for hosts. Pure. */
import type { ClusterEngineId, HostEngineId } from "../../plan/engines/engines";
import type { HostPlan } from "../../plan/model/plan";
import type { HostEngine } from "../hostEngines/engine";
import { pgbackrest } from "../hostEngines/pgbackrest";
import { runtime } from "../hostEngines/runtime";
import { barmanCloud } from "./barmanCloud";
import type { ClusterEngine, EngineContext, EngineParts, RecoverySource } from "./engine";
import { pgbackrestPlugin } from "./pgbackrestPlugin";
import { runtimePlugin } from "./runtime";
import { renderSnapshots } from "./volumeSnapshot";

const OF_CLUSTERS: Readonly<Record<ClusterEngineId, ClusterEngine>> = {
  runtime: runtimePlugin,
  pgbackrest: pgbackrestPlugin,
  "barman-cloud": barmanCloud,
  // Snapshots archive no WAL: what is replayed behind one comes from repositories of the runtime.
  volumeSnapshot: { render: renderSnapshots, source: (context) => runtimePlugin.source(context) },
};

const OF_HOSTS: Readonly<Record<HostEngineId, HostEngine>> = { runtime, pgbackrest };

/** The engine of a host; the runtime where rules refuse the plan's own. */
export function hostEngine(plan: HostPlan): HostEngine {
  return Object.entries(OF_HOSTS).find(([id]) => id === plan.engine)?.[1] ?? runtime;
}

/** What the engine of the plan brings. @throws Error for an engine that rules refuse */
export function renderEngine(context: EngineContext): EngineParts {
  const engine = findEngine(context);
  if (engine === null) throw new Error(`engine ${context.database.engine} cannot be rendered for a cluster`);
  return engine.render(context);
}

/** What a cluster begins with that is restored from the backups of the context. */
export function renderSource(context: EngineContext): RecoverySource {
  return (findEngine(context) ?? runtimePlugin).source(context);
}

function findEngine({ database }: EngineContext): ClusterEngine | null {
  return Object.entries(OF_CLUSTERS).find(([id]) => id === database.engine)?.[1] ?? null;
}
