/**
 * What each engine is and can do: a row each, for rules, runbooks, comparisons and documentation. render/engines and
 * render/hostEngines hold what each one renders. Pure data. Sources: the engines' code and documentation
 * (plugin-barman-cloud 0.14, Dalibo's plugin 0.0.3, CloudNativePG 1.30, pgBackRest 2.60).
 */
import { PLUGIN_NAME } from "../../../runtime/cnpg/names";
import type { ClusterEngine } from "../../databases/cnpgArgs";
import type { Engine } from "../../databases/hostArgs";
import { REPOSITORY_KINDS, type RepositoryKind } from "../repositories/repositoryTypes";
import { BARMAN, DALIBO } from "../rules/manifests/plugins";

/** The type makes the compiler demand a row for each. */
export type HostEngineId = Engine;
export type ClusterEngineId = ClusterEngine;
type EngineId = HostEngineId | ClusterEngineId;

export interface EngineRow {
  readonly id: string;
  readonly title: string;
  readonly on: readonly ("host" | "cnpg")[];
  /** Our runtime writes: there are an agent, metrics, drills and workers. */
  readonly own: boolean;
  /** Stock pgBackRest writes: versions have known bugs, and it reads its configuration from its default path. */
  readonly stock: boolean;
  /** Its schedules take volume snapshots. */
  readonly snapshots: boolean;
  /** CloudNativePG's plugin name and the parameters of a full backup; null if the operator itself takes the backups. */
  readonly plugin: { readonly name: string; readonly fullBackup?: Readonly<Record<string, string>> } | null;
  readonly repositoriesMax: number;
  /** One run of a backup reaches all repositories; otherwise each needs a separate run. */
  readonly onePass: boolean;
  readonly backupTypes: readonly ("full" | "diff" | "incr")[];
  readonly kinds: readonly RepositoryKind[];
  /** Layout of its files; engines with the same format read each other's backups. Null without files. */
  readonly format: "pgBackRest" | "Barman Cloud" | null;
  /** Encrypts before data leave the database's machine. */
  readonly encrypts: boolean;
  readonly fromStandby: boolean;
  readonly retention: boolean;
  /** Supports retention by count, not by days only. */
  readonly keepsByCount: boolean;
  /** Keeps archiving to healthy repositories while another one is down. */
  readonly isolated: boolean;
  readonly acknowledges: boolean;
  readonly blockIncremental: boolean;
  /** Supports the bucket's name in the host name. */
  readonly hostStyle: boolean;
}

/** Capabilities of an unknown engine. */
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

export function findEngine(id: string): EngineRow | null {
  return ENGINES.find((row) => row.id === id) ?? null;
}

/** An unknown name gets a row that can do nothing. */
export function engineOf(id: string): EngineRow {
  return findEngine(id) ?? { ...NOTHING, id, title: `engine ${id}`, on: [] };
}
