/** Interface of host engines: their input, and parts that hostParts.ts assembles. Pure. */
import type { HostPlan } from "../../plan/model/plan";
import type { RenderedFile } from "../host/renderedFile";
import type { Unit } from "../units/unit";

/** An engine's parts of a host, besides the secrets and the runtime, which all engines have. */
export interface HostParts {
  /** Without secrets, and without the units. */
  readonly files: readonly RenderedFile[];
  readonly units: readonly Unit[];
  /** PostgreSQL's settings by name, in the server's own form. */
  readonly settings: Readonly<Record<string, string>>;
}

/** Mode and owner of what holds secrets. */
type Rights = Pick<RenderedFile, "mode" | "owner">;

/** An engine of hosts, next to its row in plan/engines/engines.ts. */
export interface HostEngine {
  /** @throws Error for a plan that rules refuse */
  render(plan: HostPlan): HostParts;
  /** Restores the newest state. */
  restoreArgv(plan: HostPlan): string[];
  /** What verbs that are run on demand begin with. */
  verbArgv(plan: HostPlan): string[];
  /** Who may read the secrets that an update brings to the host. */
  secretRights(plan: HostPlan): { readonly directory: Rights; readonly file: Rights };
}
