/** Where our pods run, and what the cluster's policies and quotas ask of them. Pure. */
import type { PodPlacement } from "../../plan/cluster/declaredCluster";
import { fields, givenFields, isGiven, mapped, merged, readers } from "../../plan/model/deferred";
import { mergeOver } from "../../plan/model/mergeOver";

interface PodTemplate {
  readonly metadata: { readonly labels: object; readonly annotations?: object };
  readonly spec: object;
}

/** What is read of its spec. */
interface Pod {
  readonly affinity?: object;
  readonly containers?: readonly Container[];
}

interface Container {
  readonly resources?: { readonly limits?: object };
}

/** The template unchanged without a placement. Of affinity, fields that are given replace ours. */
export function placed(template: PodTemplate, placement: PodPlacement | undefined): PodTemplate {
  if (placement === undefined) return template;
  const { metadata } = template;
  const spec: Pod = template.spec;
  const annotations = (): object | undefined =>
    placement.annotations === undefined ? undefined : merged(metadata.annotations ?? {}, placement.annotations);
  const where = givenFields({
    affinity: () => (placement.affinity === undefined ? undefined : mergeOver(spec.affinity ?? {}, placement.affinity)),
    ...readers(placement, "nodeSelector", "tolerations", "priorityClassName"),
    imagePullSecrets: () =>
      placement.imagePullSecrets === undefined
        ? undefined
        : mapped(placement.imagePullSecrets, (name) => fields({ name })),
    containers: () =>
      isGiven(() => placement.cpuLimit) ? spec.containers?.map((each) => limited(each, placement)) : undefined,
  });
  return { metadata: merged(metadata, givenFields({ annotations })), spec: merged(spec, where) };
}

function limited(container: Container, placement: PodPlacement): Container {
  const limits = (): object => merged(container.resources?.limits ?? {}, fields({ cpu: () => placement.cpuLimit }));
  return merged(container, fields({ resources: () => merged(container.resources ?? {}, fields({ limits })) }));
}
