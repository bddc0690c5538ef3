/**
 * The container that runs the packed program outside of PostgreSQL's pods: the plugin on the operator side, and jobs.
 * Pure.
 */
import { PATHS } from "../../../runtime/cnpg/names";
import {
  type PinnedProgram,
  type ProgramSource,
  sourceCommand,
  startCommand,
} from "../../../runtime/cnpg/programStart";
import { fields, readers } from "../../plan/model/deferred";
import type { DeployedRuntime } from "../engines/engine";

/** Neither root nor an account of the image. */
const USER = 10001;

export interface ProgramContainer extends DeployedRuntime {
  readonly name: string;
  /** Arguments, including the verb. */
  readonly args: readonly string[];
  readonly cpu: string;
  readonly memory: string;
  /** For the plugin: the program comes from the first one. */
  readonly sources?: readonly ProgramSource[] | undefined;
  /** Besides the program and the directory that it is unpacked in. */
  readonly volumeMounts?: readonly object[];
}

/** Callers add other fields (ports, probes). */
export function programContainer(container: ProgramContainer): object {
  const memory = (): string => container.memory;
  return fields({
    ...readers(container, "name", "image"),
    command: () =>
      container.sources === undefined ? startCommand(pinnedProgram(container)) : sourceCommand(container.sources),
    args: () => container.args,
    resources: () => ({ requests: fields({ cpu: () => container.cpu, memory }), limits: fields({ memory }) }),
    securityContext: () => ({
      allowPrivilegeEscalation: false,
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      capabilities: { drop: ["ALL"] },
    }),
    volumeMounts: () => [
      ...(isMounted(container) ? [{ name: "bundle", mountPath: PATHS.bundle, readOnly: true }] : []),
      ...(container.volumeMounts ?? []),
      { name: "run", mountPath: PATHS.run },
    ],
  });
}

/** Null for `runtime.cjs.gz`. */
export function pinnedProgram({ sha256, url }: DeployedRuntime): PinnedProgram | null {
  if (sha256 === undefined) return null;
  return { sha256, url: url ?? "", kept: url === undefined ? PATHS.bundle : "" };
}

function isMounted({ configMap }: Omit<DeployedRuntime, "image">): boolean {
  return configMap !== undefined && configMap !== "";
}

/** Security context of the pod. */
export const PROGRAM_SECURITY = {
  runAsNonRoot: true,
  runAsUser: USER,
  runAsGroup: USER,
  fsGroup: USER,
  seccompProfile: { type: "RuntimeDefault" },
} as const;

/** @param more between the program and the directory that it is unpacked in */
export function programVolumes(
  runtime: Omit<DeployedRuntime, "image">,
  more: readonly object[] = [],
): readonly object[] {
  const bundle = isMounted(runtime) ? [{ name: "bundle", configMap: { name: runtime.configMap } }] : [];
  return [...bundle, ...more, { name: "run", emptyDir: {} }];
}
