/**
 * Parts for packages that build on this one: arguments, deferred values, programs on hosts, Jobs. Every version may
 * change them: such a package names the exact version of this one.
 */
export { runOnHost, runScriptOnHost } from "./actions/runOnHost";
export { type RuntimeInputs, runtimeOfJobs } from "./databases/clusterRuntime";
export type { ClusterAccess } from "./databases/cnpgArgs";
export { ONCE_FUNCTIONS, scriptHead } from "./host/onceScript";
export { renderedName } from "./internal/children";
export { apart, splitKnown } from "./internal/inputs";
export { declareKubernetes, readConfigMap } from "./internal/kubernetesObjects";
export { requireDeclared } from "./internal/validate";
export type { PodPlacement } from "./plan/cluster/declaredCluster";
export { POSTGRES_IMAGES } from "./plan/cluster/images";
export { shellArgument } from "./plan/host/hostCommand";
export { isFields } from "./plan/model/anyValue";
export { attempt, fields, list } from "./plan/model/deferred";
export { given } from "../runtime/base/given";
export { ComponentPlugin, type PackageSchema } from "./plugin/componentPlugin";
export type { DeployedRuntime } from "./render/engines/engine";
export { pinnedProgram, PROGRAM_SECURITY, programContainer, programVolumes } from "./render/kubernetes/container";
export { MANAGED_BY, type Manifest, type RenderedObject } from "./render/kubernetes/objects";
export { placed } from "./render/kubernetes/podPlacement";
export { isWithin, rangeText } from "../runtime/base/declaredTypes";
export { API_SERVER_OPTIONS, PATHS } from "../runtime/cnpg/names";
export { unpackCommand } from "../runtime/cnpg/programStart";
