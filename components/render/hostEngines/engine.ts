/** Interface of host engines: their input, and parts that hostParts.ts assembles. Pure. */
import type { HostPlan } from "../../plan/model/plan";
import type { RenderedFile } from "../host/renderedFile";
import type { Unit } from "../units/unit";

/** A file without secrets; path, mode and owner follow from plain arguments alone. */
export interface HostFile extends RenderedFile {
  /** True if the text may need late values: a getter creates it, so that nothing reads it before. */
  readonly deferred: boolean;
}

/** An engine's parts of a host, besides the secrets and the runtime, which all engines have. */
export interface HostParts {
  /** Without the units. */
  readonly files: readonly HostFile[];
  readonly units: readonly Unit[];
  /** PostgreSQL's settings by name, in the server's own form. They follow from plain arguments alone. */
  readonly settings: Readonly<Record<string, string>>;
}

/** Mode and owner of what holds secrets. */
type Rights = Pick<RenderedFile, "mode" | "owner">;

/** An engine of hosts, beside its row in plan/engines/engines.ts. */
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
