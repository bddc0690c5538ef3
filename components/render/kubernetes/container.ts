/**
 * The container that runs the packed program outside of PostgreSQL's pods: the plugin on the operator side, and jobs.
 * Pure.
 */
import { PATHS, START } from "../../../runtime/cnpg/names";

/** Neither root nor an account of the image. */
const USER = 10001;

export interface ProgramContainer {
  readonly name: string;
  readonly image: string;
  /** ConfigMap with the program; empty if the image contains it. */
  readonly configMap: string;
  /** Arguments, including the verb. */
  readonly args: readonly string[];
  readonly cpu: string;
  readonly memory: string;
  /** Besides the program and the directory that it is unpacked in. */
  readonly volumeMounts?: readonly object[];
}

/** Callers add other fields (ports, probes). */
export function programContainer(container: ProgramContainer): object {
  const { args, configMap, cpu, image, memory, name, volumeMounts = [] } = container;
  return {
    name,
    image,
    command: ["/bin/sh", "-c", START, "sh"],
    args,
    resources: { requests: { cpu, memory }, limits: { memory } },
    securityContext: {
      allowPrivilegeEscalation: false,
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      capabilities: { drop: ["ALL"] },
    },
    volumeMounts: [
      ...(configMap === "" ? [] : [{ name: "bundle", mountPath: PATHS.bundle, readOnly: true }]),
      ...volumeMounts,
      { name: "run", mountPath: PATHS.run },
    ],
  };
}

/** Security context of the pod. */
export const PROGRAM_SECURITY = {
  runAsNonRoot: true,
  runAsUser: USER,
  runAsGroup: USER,
  fsGroup: USER,
  seccompProfile: { type: "RuntimeDefault" },
} as const;

/**
 * @param configMap with the program, in the same namespace; empty if the image contains it. `more` goes between it and
 * the directory that it is unpacked in
 */
export function programVolumes(configMap: string, more: readonly object[] = []): readonly object[] {
  const bundle = configMap === "" ? [] : [{ name: "bundle", configMap: { name: configMap } }];
  return [...bundle, ...more, { name: "run", emptyDir: {} }];
}
