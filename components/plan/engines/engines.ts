/**
 * What each engine is and can do: one row each, which rules, runbooks, comparisons and documentation read. What an engine renders is in
 * render/engines and render/hostEngines, a file each. Pure data. Sources: the engines' own code and documents (plugin-barman-cloud 0.14,
 * Dalibo's plugin 0.0.3, CloudNativePG 1.30, pgBackRest 2.60).
 */
import { PLUGIN_NAME } from "../../../runtime/cnpg/names";
import type { ClusterEngine } from "../../databases/cnpgArgs";
import type { Engine } from "../../databases/hostArgs";
import { REPOSITORY_KINDS, type RepositoryKind } from "../repositories/repositoryTypes";
import { BARMAN, DALIBO } from "../rules/manifests/plugins";

/** The engines that arguments can name: the compiler asks for a row for each. */
export type HostEngineId = Engine;
export type ClusterEngineId = ClusterEngine;
type EngineId = HostEngineId | ClusterEngineId;

export interface EngineRow {
  readonly id: string;
  readonly title: string;
  /** Where it can be installed. */
  readonly on: readonly ("host" | "cnpg")[];
  /** The runtime of this package writes: its processes run our verbs, so that there are an agent, metrics, drills and workers. */
  readonly own: boolean;
  /** Stock pgBackRest writes: its version has known faults, and it reads its configuration where it looks without options. */
  readonly stock: boolean;
  /** Its backups are snapshots of volumes, which its schedules take. */
  readonly snapshots: boolean;
  /** As CloudNativePG knows it, with the parameters of a full backup; null where the operator itself takes the backups. */
  readonly plugin: { readonly name: string; readonly fullBackup?: Readonly<Record<string, string>> } | null;
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
  /** Keeps backups by their number, not by days only. */
  readonly keepsByCount: boolean;
  /** Keeps healthy repositories current while another one is down. */
  readonly isolated: boolean;
  readonly acknowledges: boolean;
  readonly blockIncremental: boolean;
  /** Can use addresses with the bucket's name in the host name. */
  readonly hostStyle: boolean;
}

/** What an engine of which nothing is known can do. */
const NOTHING: Omit<EngineRow, "id" | "title" | "on"> = {
  own: false,
  stock: false,
  snapshots: false,
  plugin: null,
  repositoriesMax: 0,
  onePass: true,
  backupTypes: ["full"],
  kinds: [],
  format: null,
  encrypts: false,
  fromStandby: true,
  retention: false,
  keepsByCount: true,
  isolated: false,
  acknowledges: false,
  blockIncremental: false,
  hostStyle: true,
};

const ROWS: Readonly<Record<EngineId, Omit<EngineRow, "id">>> = {
  runtime: {
    ...NOTHING,
    title: "the runtime of this package",
    on: ["host", "cnpg"],
    own: true,
    plugin: { name: PLUGIN_NAME, fullBackup: { type: "full" } },
    repositoriesMax: 256,
    backupTypes: ["full", "diff", "incr"],
    kinds: REPOSITORY_KINDS,
    format: "pgBackRest",
    encrypts: true,
    retention: true,
    isolated: true,
    acknowledges: true,
    blockIncremental: true,
  },
  pgbackrest: {
    ...NOTHING,
    title: "stock pgBackRest",
    on: ["host", "cnpg"],
    stock: true,
    plugin: { name: DALIBO, fullBackup: { backupType: "full" } },
    repositoriesMax: 256,
    onePass: false,
    backupTypes: ["full", "diff", "incr"],
    kinds: REPOSITORY_KINDS,
    format: "pgBackRest",
    encrypts: true,
    fromStandby: false,
    retention: true,
    blockIncremental: true,
  },
  "barman-cloud": {
    ...NOTHING,
    title: "the Barman Cloud plugin",
    on: ["cnpg"],
    plugin: { name: BARMAN },
    repositoriesMax: 1,
    kinds: ["s3"],
    format: "Barman Cloud",
    retention: true,
    keepsByCount: false,
    hostStyle: false,
  },
  volumeSnapshot: {
    ...NOTHING,
    title: "volume snapshots of CloudNativePG",
    on: ["cnpg"],
    snapshots: true,
  },
};

export const ENGINES: readonly EngineRow[] = Object.entries(ROWS).map(([id, row]) => ({ id, ...row }));

/** The row of that name, or null. */
export function findEngine(id: string): EngineRow | null {
  return ENGINES.find((row) => row.id === id) ?? null;
}

/** The row of that name. An unknown name gets a row that can do nothing. */
export function engineOf(id: string): EngineRow {
  return findEngine(id) ?? { ...NOTHING, id, title: `engine ${id}`, on: [] };
}
