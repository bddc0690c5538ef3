/** What the engines of clusters render, by their name in plan/engines/engines.ts. Pure. */
import type { ClusterEngineId } from "../../plan/engines/engines";
import { barmanCloud } from "./barmanCloud";
import type { ClusterEngine, EngineContext, EngineParts, RecoverySource } from "./engine";
import { pgbackrestPlugin } from "./pgbackrestPlugin";
import { runtime } from "./runtime";
import { renderSnapshots } from "./volumeSnapshot";

const ENGINES: Readonly<Record<ClusterEngineId, ClusterEngine>> = {
  runtime,
  pgbackrest: pgbackrestPlugin,
  "barman-cloud": barmanCloud,
  // Snapshots archive no WAL: what is replayed behind one comes from repositories of the runtime.
  volumeSnapshot: { render: renderSnapshots, source: (context) => runtime.source(context) },
};

/** What the engine of the plan brings. @throws Error for an engine that rules refuse */
export function renderEngine(context: EngineContext): EngineParts {
  const engine = findEngine(context);
  if (engine === null) throw new Error(`engine ${context.plan.engine} cannot be rendered for a cluster`);
  return engine.render(context);
}

/** What a cluster begins with that is restored from the backups of the context. */
export function renderSource(context: EngineContext): RecoverySource {
  return (findEngine(context) ?? runtime).source(context);
}

function findEngine({ plan }: EngineContext): ClusterEngine | null {
  return Object.entries(ENGINES).find(([id]) => id === plan.engine)?.[1] ?? null;
}
