/**
 * `pgbackstop/policy`: the rules of this package for stacks that do not use its components, as a policy pack of Pulumi. `@pulumi/policy` is an
 * optional peer: it is loaded when a pack is made, and only there.
 *
 * ```ts
 * // index.ts of a policy pack (PulumiPolicy.yaml: runtime: nodejs)
 * import { backupPolicyPack } from "pgbackstop/policy";
 * backupPolicyPack({ silence: { PB085: "images are pinned by the admission controller" } });
 * ```
 */
import { createRequire } from "node:module";
import type { PolicyPack } from "@pulumi/policy";
import { backupPolicies, type BackupPolicyOptions } from "./policies";

export { backupPolicies, type BackupPolicyOptions };

/** Where the types of a peer cannot be loaded with it. */
type PolicyPackage = typeof import("@pulumi/policy");

/** Makes the pack, which serves the engine from then on. @throws Error where `@pulumi/policy` is not installed */
export function backupPolicyPack(options: BackupPolicyOptions = {}, name = "pgbackstop"): PolicyPack {
  const { PolicyPack: Pack } = createRequire(__filename)("@pulumi/policy") as PolicyPackage;
  return new Pack(name, {
    policies: backupPolicies(options),
    description: "Backups of PostgreSQL that can be restored",
    enforcementLevel: "advisory",
  });
}
