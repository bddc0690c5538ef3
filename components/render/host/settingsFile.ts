/** `pgbackstop.json` of a host: settings without a pgBackRest option. No secret. */
import { renderSettings } from "../../../runtime/config/settings";
import type {
  ContainerFile,
  DrillFile,
  DrillFileEntry,
  RepoSettings,
  SettingsFile,
  StreamFile,
} from "../../../runtime/config/settingsFields";
import { findCompressType } from "../../plan/model/defaults";
import { slotOf } from "../../plan/model/hostDefaults";
import { ownDrills } from "../../plan/schedule/declaredDrills";
import { ageLimit, expectBackupWithin, expectFullWithin, expectWalWithin } from "../../plan/schedule/expectFull";
import type { ContainerPlan, DrillPlan, HostPlan, TaskPlan } from "../../plan/model/plan";
import { factsOf, type RepositoryPlan } from "../../plan/repositories/repositoryTypes";
import { given } from "../../../runtime/base/given";

/** Content of the file, wherever PostgreSQL runs. */
type SettingsPlan = Pick<
  HostPlan,
  "streamIntervalSeconds" | "synchronous" | "acknowledge" | "repositories" | "schedules" | "firstBackup"
> & {
  /** On a host whose WAL leaves through a slot. */
  readonly archive?: HostPlan["archive"];
  /** With the data directory in it; undefined if PostgreSQL runs on the host itself. */
  readonly container?: HostPlan["container"];
  readonly dataDirectory?: string;
  /** Omitted if no drill reads the file: then changes do not restart the cluster's sidecar. */
  readonly drilled?: Pick<HostPlan, "drillChecks" | "drills" | "objectives">;
  readonly dumps?: HostPlan["dumps"];
  /** WAL is compared if one of them is `stale`. */
  readonly maintenance?: readonly Pick<TaskPlan, "name">[];
  /** True in a cluster, where nobody else takes the first backup. */
  readonly sidecarTakesFirst?: boolean;
  /** In a cluster whose updates wait for full backups. */
  readonly fullBackups?: SettingsFile["fullBackups"];
};

/** The complete text. @param writtenFor version of the runtime that reads it; if omitted, it is unknown */
export function renderSettingsFile(plan: SettingsPlan, writtenFor?: string): string {
  return renderSettings(settingsOf(plan), writtenFor);
}

/** The content; every repository states its compression, so that adding one does not change the others'. */
export function settingsOf(plan: SettingsPlan): SettingsFile {
  const { mode, repositories } = plan.acknowledge;
  return {
    version: 1,
    acknowledge: mode === "named" ? repositories : mode === "any" ? "any" : "all",
    ...given({ archive: slotOf(plan) }),
    ...(plan.container === undefined ? {} : { container: containerOf(plan.container, plan.dataDirectory ?? "") }),
    ...(plan.sidecarTakesFirst === true ? { firstBackup: true } : {}),
    ...given({ fullBackups: plan.fullBackups }),
    ...(plan.streamIntervalSeconds === undefined ? {} : { stream: streamOf(plan, plan.streamIntervalSeconds) }),
    ...(plan.drilled === undefined ? {} : drillOf(plan.drilled)),
    repos: Object.fromEntries(
      plan.repositories.map((repository) => [repository.name, repositorySettings(plan, repository)]),
    ),
  };
}

function containerOf(container: ContainerPlan, dataDirectory: string): ContainerFile {
  const { compose, engine, name, service } = container;
  return { dataDirectory, ...given({ name, compose, service }), engine: engine === "podman" ? engine : "docker" };
}

function streamOf({ synchronous }: SettingsPlan, intervalSeconds: number): StreamFile {
  if (synchronous === undefined) return { intervalSeconds };
  const { degradeAfterSeconds, groupMilliseconds, mode, repositories } = synchronous;
  return {
    intervalSeconds,
    synchronous: mode === "named" ? repositories : mode === "any" ? "any" : "all",
    ...given({ degradeAfterSeconds, groupMilliseconds }),
  };
}

function repositorySettings(plan: SettingsPlan, repository: RepositoryPlan): RepoSettings {
  const quirks = repository.s3?.quirks;
  const compressType = findCompressType(repository.compressType);
  const expectFullWithinS = expectFullWithin(plan, repository);
  const expectBackupWithinS = plan.drilled === undefined ? undefined : expectBackupWithin(plan, repository);
  const comparesWal = plan.maintenance?.some(({ name }) => name === "stale") ?? false;
  const expectWalWithinS =
    comparesWal && plan.drilled !== undefined ? expectWalWithin(plan.drilled.objectives) : undefined;
  if (compressType === null || compressType === "bz2")
    throw new Error(`the runtime does not support compression ${repository.compressType}`);
  return {
    compressType,
    ...(compressType === "none" ? {} : { compressLevel: repository.compressLevel }),
    ...given({ s3Quirks: quirks, expectFullWithinS, expectBackupWithinS, expectWalWithinS }),
    ...(repository.kind === "posix" && repository.requireMount ? { requireMount: true } : {}),
    ...given({ storageClass: classOf(repository) }),
    ...dumpsOf(plan, repository),
    ...given({ keep: repository.keep, limitRate: repository.limitRate }),
  };
}

/** The usual class is the default. No service has a class of another form. */
function classOf(repository: RepositoryPlan): string | undefined {
  const { storageClass } = factsOf(repository) ?? {};
  if (storageClass === undefined || storageClass.toLowerCase() === "standard") return undefined;
  return /^[A-Za-z0-9_-]{1,40}$/.test(storageClass) ? storageClass : undefined;
}

function dumpsOf(
  { dumps }: SettingsPlan,
  { name }: RepositoryPlan,
): Pick<RepoSettings, "expectDumpWithinS" | "keepDumps"> {
  if (dumps?.repositories.includes(name) !== true) return {};
  const keepDumps = given({ days: dumps.keepDays, count: dumps.keepCount });
  return { ...given({ expectDumpWithinS: ageLimit([dumps])?.limitS }), keepDumps };
}

/** Objectives and checks of every drill, and the drills of this host. */
function drillOf({
  drillChecks,
  drills,
  objectives: { pitrRtoMinutes, rpoSeconds, rtoMinutes },
}: NonNullable<SettingsPlan["drilled"]>): { readonly drill?: DrillFile } {
  const { assertions, backupAgeHours, heartbeat } = drillChecks;
  const objectives = {
    ...(rtoMinutes === undefined ? {} : { rtoSeconds: rtoMinutes * 60 }),
    ...(pitrRtoMinutes === undefined ? {} : { pitrRtoSeconds: pitrRtoMinutes * 60 }),
    ...given({ rpoSeconds }),
    ...(backupAgeHours === undefined ? {} : { backupAgeSeconds: Math.round(backupAgeHours * 3600) }),
  };
  const own = ownDrills({ drills });
  if (Object.keys(objectives).length + assertions.length + own.length === 0 && heartbeat === undefined) return {};
  return {
    drill: {
      objectives,
      ...given({ heartbeat }),
      assertions,
      declared: Object.fromEntries(own.map((drill) => [drill.name, declaredOf(drill)])),
    },
  };
}

const GIB = 1024 ** 3;

function declaredOf({
  dump,
  from,
  how,
  level,
  maxGiB,
  maxMinutes,
  path,
  pick,
  repositories,
}: DrillPlan): DrillFileEntry {
  const repos = from === undefined ? repositories : [from];
  const values = {
    repos,
    pick,
    how,
    level,
    maxMinutes,
    maxBytes: maxGiB === undefined ? undefined : Math.ceil(maxGiB * GIB),
    path,
    dump: dump === true ? "latest" : undefined,
  };
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as DrillFileEntry;
}
