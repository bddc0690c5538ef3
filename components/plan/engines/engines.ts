/**
 * What each engine can do, as one table: rules and documentation read it. Pure data. Sources: the engines' own code and documents
 * (plugin-barman-cloud 0.14, Dalibo's plugin 0.0.3, CloudNativePG 1.30, pgBackRest 2.60).
 */
import { REPOSITORY_KINDS, type RepositoryKind } from "../repositories/repositoryTypes";

export interface EngineRow {
  readonly id: string;
  readonly title: string;
  /** Where it can be used. */
  readonly on: readonly ("host" | "cnpg")[];
  /** Repositories that it can write to. */
  readonly repositoriesMax: number;
  /** One run of a backup reaches all repositories; else each repository needs a run of its own. */
  readonly onePass: boolean;
  readonly backupTypes: readonly ("full" | "diff" | "incr")[];
  readonly kinds: readonly RepositoryKind[];
  /** Whose layout of files it writes; two of one format read each other's backups. Null where there are no files. */
  readonly format: "pgBackRest" | "Barman Cloud" | null;
  /** Encrypts before anything leaves the database's machine. */
  readonly encrypts: boolean;
  readonly fromStandby: boolean;
  /** Removes old backups by itself. */
  readonly retention: boolean;
  /** Keeps healthy repositories current while another one is down. */
  readonly isolated: boolean;
  readonly acknowledges: boolean;
  readonly blockIncremental: boolean;
}

const ALL_TYPES = ["full", "diff", "incr"] as const;

export const ENGINES: readonly EngineRow[] = [
  {
    id: "runtime",
    title: "the runtime of this package",
    on: ["host", "cnpg"],
    repositoriesMax: 256,
    onePass: true,
    backupTypes: ALL_TYPES,
    kinds: REPOSITORY_KINDS,
    format: "pgBackRest",
    encrypts: true,
    fromStandby: true,
    retention: true,
    isolated: true,
    acknowledges: true,
    blockIncremental: true,
  },
  {
    id: "pgbackrest",
    title: "stock pgBackRest",
    on: ["host", "cnpg"],
    repositoriesMax: 256,
    onePass: false,
    backupTypes: ALL_TYPES,
    kinds: REPOSITORY_KINDS,
    format: "pgBackRest",
    encrypts: true,
    fromStandby: false,
    retention: true,
    isolated: false,
    acknowledges: false,
    blockIncremental: true,
  },
  {
    id: "barman-cloud",
    title: "the Barman Cloud plugin",
    on: ["cnpg"],
    repositoriesMax: 1,
    onePass: true,
    backupTypes: ["full"],
    kinds: ["s3"],
    format: "Barman Cloud",
    encrypts: false,
    fromStandby: true,
    retention: true,
    isolated: false,
    acknowledges: false,
    blockIncremental: false,
  },
  {
    id: "volumeSnapshot",
    title: "volume snapshots of CloudNativePG",
    on: ["cnpg"],
    repositoriesMax: 0,
    onePass: true,
    backupTypes: ["full"],
    kinds: [],
    format: null,
    encrypts: false,
    fromStandby: true,
    retention: false,
    isolated: false,
    acknowledges: false,
    blockIncremental: false,
  },
];

/** The row of that name, or null. */
export function findEngine(id: string): EngineRow | null {
  return ENGINES.find((row) => row.id === id) ?? null;
}
