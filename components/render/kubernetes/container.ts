/** The container that runs the packed program outside of pods of PostgreSQL: the plugin on the operator's side, and jobs. Pure. */
import { PLACES, START } from "../../../runtime/cnpg/names";

/** Neither root nor an account of the image. */
const USER = 10001;

export interface ProgramContainer {
  readonly name: string;
  readonly image: string;
  /** Words of the command line, the verb among them. */
  readonly args: readonly string[];
  readonly cpu: string;
  readonly memory: string;
  /** Beside the program and the directory that it is unpacked in. */
  readonly volumeMounts?: readonly object[];
}

/** More fields (ports, probes) are laid beside it. */
export function programContainer({ args, cpu, image, memory, name, volumeMounts = [] }: ProgramContainer): object {
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
    volumeMounts: [{ name: "bundle", mountPath: PLACES.bundle, readOnly: true }, ...volumeMounts, { name: "run", mountPath: PLACES.run }],
  };
}

/** Of the pod. */
export const PROGRAM_SECURITY = {
  runAsNonRoot: true,
  runAsUser: USER,
  runAsGroup: USER,
  fsGroup: USER,
  seccompProfile: { type: "RuntimeDefault" },
} as const;

/** @param configMap with the program, in the same namespace; `more` between it and the directory that it is unpacked in */
export function programVolumes(configMap: string, more: readonly object[] = []): readonly object[] {
  return [{ name: "bundle", configMap: { name: configMap } }, ...more, { name: "run", emptyDir: {} }];
}
