/**
 * Clusters in previews and states. A topology follows from a component's arguments; the Cluster of the stack may
 * differ, because `ignoreChanges` kept an old `spec`, or someone used kubectl. Pure.
 */
import { archiversOf } from "../cluster/archivers";
import { findEngine } from "../engines/engines";
import { isFields, valueAt } from "../model/anyValue";
import { without } from "../model/deferred";
import type { Topology } from "./topology";

const CLUSTER = /^kubernetes:postgresql\.cnpg\.io\/v1:Cluster(Patch)?$/;

/** `spec` of a Cluster, by the component that has it. */
export type ClusterSpecs = ReadonlyMap<string, unknown>;

/**
 * @param states of resources, of which any may be absent
 * @param sources fields of a state that have the spec, best first: `outputs` as the API server last answered, `inputs`
 * as the program wants it
 */
export function clusterSpecs(states: readonly unknown[], sources: readonly ("inputs" | "outputs")[]): ClusterSpecs {
  return new Map(
    states.flatMap((state): [string, unknown][] => {
      if (!isFields(state) || state["delete"] === true || !CLUSTER.test(String(state["type"]))) return [];
      const spec = sources.map((source) => valueAt(state, source, "spec")).find(isFields);
      return spec === undefined ? [] : [[String(state["parent"]), spec]];
    }),
  );
}

/** The topology without WAL if nothing of its engine archives any. */
export function asArchived(topology: Topology, spec: unknown): Topology {
  const [database] = topology.databases;
  const archiver = findEngine(database?.engine ?? "")?.plugin?.name;
  const archivers = spec === undefined ? null : archiversOf(spec);
  if (database === undefined || archiver === undefined || archivers === null || archivers.includes(archiver))
    return topology;
  return {
    ...topology,
    databases: [without(database, "streamIntervalSeconds", "synchronous")],
    flows: topology.flows.map((flow) => (flow.kind === "wal" ? { ...flow, toRepoKeys: [] } : flow)),
    objectives: without(topology.objectives, "worstCaseRpoSeconds"),
  };
}
