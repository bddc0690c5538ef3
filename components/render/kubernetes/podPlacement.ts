/** Where our pods run, and what the cluster's policies ask of them. Pure. */
import type { PodPlacement } from "../../plan/cluster/declaredCluster";
import { fields, givenFields, mapped, merged, readers } from "../../plan/model/deferred";
import { mergeOver } from "./objects";

interface PodTemplate {
  readonly metadata: { readonly labels: object; readonly annotations?: object };
  readonly spec: object;
}

/** The template unchanged without a placement. Of affinity, fields that are given replace ours. */
export function placed(template: PodTemplate, placement: PodPlacement | undefined): PodTemplate {
  if (placement === undefined) return template;
  const { metadata, spec } = template;
  const own = (spec as { readonly affinity?: object }).affinity;
  const annotations = (): object | undefined =>
    placement.annotations === undefined ? undefined : merged(metadata.annotations ?? {}, placement.annotations);
  const where = givenFields({
    affinity: () => (placement.affinity === undefined ? undefined : mergeOver(own ?? {}, placement.affinity)),
    ...readers(placement, "nodeSelector", "tolerations", "priorityClassName"),
    imagePullSecrets: () =>
      placement.imagePullSecrets === undefined
        ? undefined
        : mapped(placement.imagePullSecrets, (name) => fields({ name })),
  });
  return { metadata: merged(metadata, givenFields({ annotations })), spec: merged(spec, where) };
}
