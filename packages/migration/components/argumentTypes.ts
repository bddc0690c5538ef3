/**
 * The types of the components' arguments, for checks of values that TypeScript has not seen. `npm run docs` makes this
 * file from the declarations of the components: change those.
 */

/** Fields by the name of a type: under `...` the types whose fields it has too, then its other fields as declared. */
export const ARGUMENT_TYPES = {
  MigrationArgs: {
    source: "MigrationServerArgs",
    target: "MigrationServerArgs",
    "until?": "string",
    "workloads?": "MigrationWorkloadArgs[]",
    "secrets?": "MigrationSecretArgs[]",
    "units?": "MigrationUnitsArgs[]",
    "namespace?": "Input<string>",
    "databases?": "Input<Input<string>[]>",
    "excludedDatabases?": "Input<Input<string>[]>",
    "keepRoles?": "Input<Input<string>[]>",
    "rolePasswords?": "Input<boolean>",
    "tablespaces?": "Input<boolean>",
    "disconnect?": "Input<boolean>",
    "replace?": "Input<boolean>",
    "sourceStopped?": "Input<boolean>",
    "processMax?": "Input<number>",
    "drill?": "string",
    "binDirectory?": "Input<string>",
    "image?": "Input<string>",
    "plugin?": "PluginRef",
    "runtimeImage?": "Input<string>",
    "podPlacement?": "PodPlacementArgs",
    "planTriggers?": "Input<string>[]",
    "timeoutMinutes?": "number",
  },
  MigrationSecretArgs: { name: "Input<string>", "namespace?": "string", values: "{ [key: string]: Input<string> }" },
  MigrationServerArgs: {
    "host?": "HostAccess",
    "cluster?": "ClusterAccess",
    "address?": "Input<string>",
    "port?": "Input<number>",
    "user?": "Input<string>",
    "database?": "Input<string>",
    "sslMode?": "Input<string>",
    "password?": "Input<string>",
    "passwordSecret?": "KeyRef",
    "ca?": "Input<string>",
    "caSecret?": "KeyRef",
  },
  MigrationUnitsArgs: { host: "HostAccess", names: "string[]" },
  MigrationWorkloadArgs: { kind: "string", name: "Input<string>", "namespace?": "string" },
} as const;

export type ArgumentType = keyof typeof ARGUMENT_TYPES;

/** Ranges of numbers by type and field, of the type that declares it: `@minimum`, `@exclusiveMinimum`, `@maximum`. */
export const ARGUMENT_RANGES = {
  "MigrationArgs.processMax": { min: 1, max: 999 },
  "MigrationArgs.timeoutMinutes": { min: 1 },
  "MigrationServerArgs.port": { min: 1, max: 65535 },
} as const;

/** Types of section that have a field: `@for` and `@required`. */
export const ARGUMENT_KINDS = {} as const;

/** What a field decides that may not come later: `@plain`. */
export const ARGUMENT_PLAIN = {
  "MigrationArgs.until": "the steps of the update",
  "MigrationArgs.drill": "which of the target's drills is made",
  "MigrationArgs.timeoutMinutes": "how long the engine waits for a resource",
  "MigrationSecretArgs.namespace": "which Roles exist",
  "MigrationUnitsArgs.names": "the steps that the preview shows",
  "MigrationWorkloadArgs.kind": "the steps that the preview shows",
  "MigrationWorkloadArgs.namespace": "which Roles exist",
} as const;
