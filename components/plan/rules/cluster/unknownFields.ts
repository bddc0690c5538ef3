/** Fields of `spec` that no supported version of CloudNativePG has: misspelled, or of a newer one. Pure. */
import { checkArguments } from "../../arguments/checkArguments";
import type { ClusterDefinition } from "../../cluster/clusterPlan";
import { type Finding, finding } from "../../findings/findings";
import { knownPart } from "../../model/deferred";

export function checkUnknownFields({ poolers, spec }: ClusterDefinition): Finding[] {
  return [
    ...unknownIn("ClusterSpec", spec, "spec"),
    ...poolers.flatMap((pooler) => unknownIn("PoolerSpec", pooler.spec, `poolers.${pooler.name}.spec`)),
  ];
}

/** What comes later is judged when it arrives. */
function unknownIn(type: string, spec: object, owner: string): Finding[] {
  return checkArguments(type, knownPart(spec), { open: [], owner })
    .filter(({ code }) => code === "PB190")
    .map(({ hint, message, path }) => {
      const near = hint.startsWith("did you mean") ? hint : "silence this for a field of a newer operator";
      return finding("PB192", `${owner}.${path}`, `${message} in CloudNativePG 1.28 to 1.30`, near);
    });
}
