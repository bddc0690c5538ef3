/**
 * `pgbackstop/policy`: the rules of this package for stacks that do not use its components, as a Pulumi policy pack.
 * `@pulumi/policy` is an optional peer, loaded only when a pack is created.
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

/** Only the types: the peer itself may be missing. */
type PolicyPackage = typeof import("@pulumi/policy");

/** Creates the pack, which serves the engine from then on. @throws Error if `@pulumi/policy` is not installed */
export function backupPolicyPack(options: BackupPolicyOptions = {}, name = "pgbackstop"): PolicyPack {
  const { PolicyPack: Pack } = createRequire(__filename)("@pulumi/policy") as PolicyPackage;
  return new Pack(name, {
    policies: backupPolicies(options),
    description: "Backups of PostgreSQL that can be restored",
    enforcementLevel: "advisory",
  });
}
