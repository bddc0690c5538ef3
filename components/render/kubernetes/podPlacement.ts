/** Where our pods run, and what the cluster's policies ask of them. Pure. */
import type { PodPlacement } from "../../plan/cluster/declaredCluster";
import { given } from "../../plan/model/given";
import { mergeOver } from "./objects";

interface PodTemplate {
  readonly metadata: { readonly labels: object; readonly annotations?: object };
  readonly spec: object;
}

/** The template unchanged without a placement. Of affinity, fields that are given replace ours. */
export function placed(template: PodTemplate, placement: PodPlacement | undefined): PodTemplate {
  if (placement === undefined) return template;
  const { affinity, annotations, imagePullSecrets, nodeSelector, priorityClassName, tolerations } = placement;
  const own = (template.spec as { readonly affinity?: object }).affinity;
  return {
    metadata: {
      ...template.metadata,
      ...(annotations === undefined ? {} : { annotations: { ...template.metadata.annotations, ...annotations } }),
    },
    spec: {
      ...template.spec,
      ...(affinity === undefined ? {} : { affinity: mergeOver(own ?? {}, affinity) }),
      ...given({ nodeSelector, tolerations, priorityClassName }),
      ...(imagePullSecrets === undefined ? {} : { imagePullSecrets: imagePullSecrets.map((name) => ({ name })) }),
    },
  };
}
