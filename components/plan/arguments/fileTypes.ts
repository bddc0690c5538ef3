/**
 * The types of the files that `pgbackstop render` takes: the components' arguments, with what only a program has left
 * out, and what only a file has added. Checks, the schema for editors and its texts come from here. Pure.
 */
import { changedTypes, type CheckOptions } from "./checkArguments";

/** Its type, as declarations have it, and its description; `never` removes a field that only a program has. */
export type FileField = readonly [type: string, doc?: string];

const NEVER: FileField = ["never"];

export const FILE_TYPES: Readonly<Record<string, Readonly<Record<string, FileField>>>> = {
  RenderFile: {
    "plugin?": ["FilePlugin", "The plugin, and where it runs."],
    "clusters?": ["{ [name: string]: FileCluster }", "New Clusters, by name."],
    "attach?": ["{ [name: string]: FileAttachment }", "Existing Clusters, by name."],
    "hosts?": ["{ [name: string]: FileHost }", "Hosts, by name, for --format=nixos."],
    "flux?": ["FileFlux", "For a Kustomization of Flux with postBuild.substitute."],
  },
  FilePlugin: {
    "...": ["CnpgPluginArgs"],
    "engine?": NEVER,
    "runtimeSource?": NEVER,
    "servesRuntime?": NEVER,
    "sidecarImage?": NEVER,
    "exporterImage?": NEVER,
    "memory?": NEVER,
    "cpu?": NEVER,
    "followRuntime?": NEVER,
    "rotationTrigger?": NEVER,
    "certManager?": ["boolean", "Certificates by cert-manager. If you omit it, create the two Secrets yourself."],
  },
  FileCluster: {
    "...": ["CnpgClusterArgs"],
    "repositories?": ["{ [key: string]: ClusterRepositoryArgs }"],
    "plugin?": NEVER,
    "followRuntime?": NEVER,
    "runtimeDelivery?": NEVER,
    "firstBackupTimeoutMinutes?": NEVER,
  },
  FileAttachment: {
    "...": ["CnpgBackupArgs"],
    "repositories?": ["{ [key: string]: ClusterRepositoryArgs }"],
    "clusterName?": NEVER,
    "plugin?": NEVER,
    "followRuntime?": NEVER,
    "runtimeDelivery?": NEVER,
    "firstBackupTimeoutMinutes?": NEVER,
  },
  FileHost: {
    "...": ["PostgresHostArgs"],
    "repositories?": ["{ [key: string]: FileHostRepository }"],
    "connection?": NEVER,
    "secretsDirectory?": ["string", "Directory of the secrets, by the credentials' names."],
  },
  // What a program writes into a secret file; here the file is in secretsDirectory.
  HostMonitoringArgs: {
    "reportPassword?": NEVER,
    "servesReport?": ["boolean", "Serves /report. Its password is in secretsDirectory."],
  },
  HostOtlpArgs: { "endpoint?": NEVER, "headers?": NEVER, "attributes?": NEVER, "caFile?": NEVER },
  FileHostRepository: { "...": ["HostRepositoryArgs"], at: ["FileHostTarget"] },
  FileHostTarget: {
    "...": ["RepositoryTarget"],
    "encrypted?": ["boolean", "The passphrase is in secretsDirectory."],
  },
  FileFlux: { "variables?": ["string[]", "Names that the Kustomization sets."] },
  // The names of the sections are the repositories' names.
  RepositoryTarget: { "name?": NEVER, "path?": ["string"] },
};

/** For checkArguments. */
export const FILE: CheckOptions = {
  owner: "the file",
  types: changedTypes(
    Object.fromEntries(
      Object.entries(FILE_TYPES).map(([name, fields]) => [
        name,
        Object.fromEntries(Object.entries(fields).map(([field, [type]]) => [field, type])),
      ]),
    ),
  ),
};
