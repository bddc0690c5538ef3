/**
 * The operator's hook: adds the sidecar to pods of instances and to recovery jobs, and leaves all other objects alone.
 */
import { isFields } from "../../base/declaredTypes";
import type { Context } from "../../base/context";
import { lifecycleCapabilities, patchAnswer } from "../grpc/answers";
import {
  at,
  findOwnParameters,
  findReplicaParameters,
  findSourceParameters,
  type JsonObject,
  parseObject,
  textAt,
} from "../kubernetes/clusterObject";
import type { LifecycleRequest } from "../grpc/messages";
import type { PluginService } from "../grpc/grpcServer";
import { sidecarPatch, stableJson, type SidecarRequest } from "./sidecarPatch";

const KINDS = [
  { group: "", kind: "Pod", operations: ["CREATE", "EVALUATE"] },
  { group: "batch", kind: "Job", operations: ["CREATE"] },
] as const;
/** Jobs whose main container has the role's name. A joining replica copies from the primary and needs no archive. */
const RECOVERY_ROLES = ["full-recovery", "snapshot-recovery"];

export function lifecycleService(image: string | undefined, ctx: Context): PluginService {
  return {
    name: "lifecycle",
    methods: {
      GetCapabilities: () => lifecycleCapabilities(KINDS),
      LifecycleHook: (request: LifecycleRequest) => {
        const cluster = parseObject(request.cluster_definition, "cluster");
        const object = parseObject(request.object_definition, "object");
        const operation = request.operation_type?.type;
        const wanted = findSidecarRequest(cluster, object, operation, image);
        const operations = wanted === null ? [] : sidecarPatch(cluster, object, wanted.mainName, wanted.request);
        if (operations.length > 0)
          ctx.log.detail(
            `${operation} ${textAt(object, "kind")} ${textAt(object, "metadata", "name")}: ${operations.length} changes`,
          );
        return patchAnswer(operations, stableJson(operations));
      },
    },
  };
}

function findSidecarRequest(
  cluster: JsonObject,
  object: JsonObject,
  operation: string | undefined,
  image: string | undefined,
): { readonly mainName: string; readonly request: SidecarRequest } | null {
  if (operation !== "TYPE_CREATE" && operation !== "TYPE_EVALUATE") return null;
  if (textAt(object, "kind") === "Job") {
    const role = labelOf(at(object, "spec", "template"), "/jobRole") ?? labelOf(object, "/jobRole");
    const parameters = findSourceParameters(cluster);
    if (role === undefined || !RECOVERY_ROLES.includes(role) || parameters === null) return null;
    return { mainName: role, request: { mode: "restore", parameters, source: null, image } };
  }
  if (textAt(object, "kind") !== "Pod" || labelOf(object, "/podRole") !== "instance") return null;
  const parameters = findOwnParameters(cluster);
  const source = findReplicaParameters(cluster);
  if (parameters !== null) return { mainName: "postgres", request: { mode: "instance", parameters, source, image } };
  // It has no archive of its own: it only reads the source's.
  return source === null
    ? null
    : { mainName: "postgres", request: { mode: "follow", parameters: source, source: null, image } };
}

/** Matches the end of the label's name: forks of the operator use another domain. */
function labelOf(object: Parameters<typeof at>[0], suffix: string): string | undefined {
  const labels = at(object, "metadata", "labels");
  if (!isFields(labels)) return undefined;
  const labelName = Object.keys(labels)
    .sort()
    .find((name) => name.endsWith(suffix));
  return labelName === undefined ? undefined : textAt(labels, labelName);
}
