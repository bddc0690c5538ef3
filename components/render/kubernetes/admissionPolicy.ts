/** A ValidatingAdmissionPolicy of one account, and its binding. Pure. */
import { fields, merged } from "../../plan/model/deferred";
import { MANAGED_BY, object, type RenderedObject } from "./objects";

/** @param role prefix of their roles */
export function policyWithBinding(
  role: string,
  name: () => string,
  account: () => string,
  spec: object,
  binding: object,
): RenderedObject[] {
  const group = "admissionregistration.k8s.io/v1";
  const labels = merged(MANAGED_BY, fields({ "app.kubernetes.io/name": account }));
  const metadata = merged(fields({ name }), { labels });
  const bound = merged(fields({ policyName: name }), { ...binding, validationActions: ["Deny"] });
  return [
    object(role, [group, "ValidatingAdmissionPolicy"], metadata, { spec: () => spec }),
    object(`${role}-binding`, [group, "ValidatingAdmissionPolicyBinding"], metadata, { spec: () => bound }),
  ];
}
