/** What every engine of a host is asked, and what it answers: parts that hostParts.ts puts together. Pure. */
import type { HostPlan } from "../../plan/model/plan";
import type { RenderedFile } from "../host/renderedFile";
import type { Unit } from "../units/unit";

/** A file whose text holds no secret; path, mode and owner follow from plain arguments alone. */
export interface HostFile extends RenderedFile {
  /** True where the text may have to wait for values of other resources: until then nobody may look at it, and a getter makes it. */
  readonly late: boolean;
}

/** What an engine lays down on a host beside the secrets and the runtime, which every engine has there. */
export interface HostParts {
  /** Without the units. */
  readonly files: readonly HostFile[];
  readonly units: readonly Unit[];
  /** PostgreSQL's settings by name, as the server shows them. They follow from plain arguments alone. */
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
