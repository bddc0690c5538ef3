/** The parts of Kubernetes objects that procklet reads, in the form of the API. */

export interface Metadata {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
}

export interface KeyRef {
  readonly name: string;
  readonly key: string;
  readonly optional?: boolean;
}

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string };
    readonly secretKeyRef?: KeyRef;
    readonly configMapKeyRef?: KeyRef;
  };
}

export interface Probe {
  readonly httpGet?: { readonly path?: string; readonly port: number | string; readonly scheme?: string };
  readonly exec?: { readonly command: readonly string[] };
  readonly tcpSocket?: { readonly port: number | string };
  readonly initialDelaySeconds?: number;
  readonly periodSeconds?: number;
  readonly timeoutSeconds?: number;
  readonly failureThreshold?: number;
}

export interface SecurityContext {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly fsGroup?: number;
  readonly readOnlyRootFilesystem?: boolean;
}

export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly workingDir?: string;
  readonly env?: readonly EnvVar[];
  readonly envFrom?: readonly {
    readonly configMapRef?: { readonly name: string };
    readonly secretRef?: { readonly name: string };
  }[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
  readonly volumeMounts?: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly subPath?: string;
    readonly readOnly?: boolean;
  }[];
  readonly securityContext?: SecurityContext;
  readonly startupProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly restartPolicy?: string;
}

export interface FileItem {
  readonly path: string;
  readonly key: string;
}

export interface FieldItem {
  readonly path: string;
  readonly fieldRef: { readonly fieldPath: string };
}

/** A secret or config map as a source of files. */
export interface FileSource {
  readonly name?: string;
  readonly secretName?: string;
  readonly items?: readonly FileItem[];
  readonly optional?: boolean;
  readonly defaultMode?: number;
}

export interface TokenSource {
  readonly path: string;
  readonly audience?: string;
  readonly expirationSeconds?: number;
}

export interface Projected {
  readonly sources: readonly {
    readonly serviceAccountToken?: TokenSource;
    readonly secret?: FileSource;
    readonly configMap?: FileSource;
    readonly downwardAPI?: { readonly items: readonly FieldItem[] };
  }[];
  readonly defaultMode?: number;
}

export interface Volume {
  readonly name: string;
  readonly emptyDir?: object;
  readonly hostPath?: { readonly path: string };
  readonly persistentVolumeClaim?: { readonly claimName: string };
  readonly ephemeral?: object;
  readonly secret?: FileSource;
  readonly configMap?: FileSource;
  readonly downwardAPI?: { readonly items: readonly FieldItem[] };
  readonly projected?: Projected;
}

export interface PodObject {
  readonly metadata: Metadata;
  readonly spec: {
    readonly nodeName?: string;
    readonly hostname?: string;
    readonly serviceAccountName?: string;
    readonly restartPolicy?: string;
    readonly securityContext?: SecurityContext;
    readonly initContainers?: readonly ContainerSpec[];
    readonly containers: readonly ContainerSpec[];
    readonly volumes?: readonly Volume[];
  };
  readonly status: { readonly phase?: string };
}

export interface ListOf<T> {
  readonly items: readonly T[];
}

export interface DataObject {
  readonly metadata: Metadata;
  readonly data?: Readonly<Record<string, string>>;
  readonly binaryData?: Readonly<Record<string, string>>;
}

export interface ServiceObject {
  readonly metadata: Metadata;
  readonly spec: { readonly publishNotReadyAddresses?: boolean };
}

export interface EndpointSliceObject {
  readonly metadata: Metadata;
  readonly endpoints?:
    | readonly { readonly addresses: readonly string[]; readonly conditions?: { readonly ready?: boolean } }[]
    | null;
}

export interface ClaimObject {
  readonly metadata: Metadata;
  readonly spec: {
    readonly resources: { readonly requests: Readonly<Record<string, string>> };
    readonly accessModes: readonly string[];
  };
  readonly status: { readonly phase?: string };
}
