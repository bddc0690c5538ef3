/**
 * `pgbackrest.conf` of a host: every option that stock pgBackRest understands, no secrets. Stock reads the same file,
 * together with the credentials files of `conf.d`. Options and their sections: pgBackRest 2.60
 * "build/config/config.yaml".
 */
import { secretsDirectory, type SecretLayout } from "../../plan/host/hostCommand";
import { type ConfSection, renderConf } from "../../../runtime/config/render";
import { commandsOf, type ConfOptions, optionsOf } from "../../plan/model/confOptions";
import { slotOf } from "../../plan/model/hostDefaults";
import type { HostPlan } from "../../plan/model/plan";
import type { PodConf } from "../../plan/repositories/repositoryType";
import { type RepositoryPlan, typeOf } from "../../plan/repositories/repositoryTypes";
import { restoreCommand } from "./commandLine";

type Option = ConfSection["options"][number];

const COMMENT = "Written by pgbackstop: changes made here by hand are undone by the next update. Secrets are in";

/** Content of the file, wherever PostgreSQL runs. */
export type ConfPlan = Pick<
  HostPlan,
  | "agent"
  | "stanza"
  | "repositories"
  | "directories"
  | "processMax"
  | "dataDirectory"
  | "port"
  | "socketDirectory"
  | "databaseUser"
> &
  Partial<Pick<HostPlan, "archive" | "archiveTimeoutSeconds" | "container" | "drillsOnly" | "options">> & {
    /** Set for a pod. */
    readonly pod?: PodConf;
  };

/** The complete text. @throws BackupError for an option that cannot be written */
export function renderPgbackrestConf(plan: ConfPlan): string {
  const directory = secretsDirectory(plan);
  return renderConf(confSections(plan), `${COMMENT} ${directory.slice(directory.lastIndexOf("/") + 1)}.`);
}

/** The sections: `[global]` with the repositories, the stanza's own with its PostgreSQL. */
export function confSections(plan: ConfPlan): ConfSection[] {
  const { directories } = plan;
  const first = plan.repositories[0];
  const { options = {} } = plan;
  // A cluster restored here requests WAL from the agent, which has the keys. A container has no program for that.
  const restore =
    plan.agent && plan.drillsOnly !== true && plan.container === undefined
      ? [{ name: "recovery-option", value: `restore_command=${restoreCommand(plan)}` }]
      : [];
  const own = new Map(Object.entries({ restore, backup: backupWait(plan) }).filter(([, each]) => each.length > 0));
  const commands = new Set([...own.keys(), ...commandsOf(options)]);
  return [
    {
      name: "global",
      options: [
        ...plan.repositories.flatMap((repository) => repositoryOptions(plan, repository)),
        // pgBackRest has one compression for all; the settings file has differences per repository.
        ...(first === undefined ? [] : compressOptions(first)),
        { name: "lock-path", value: directories.lock },
        { name: "log-path", value: directories.log },
        { name: "process-max", value: plan.processMax },
        { name: "spool-path", value: directories.spool },
        { name: "start-fast", value: true },
        ...optionsOf(options, null, (name) => !isOfServer(name)),
      ],
    },
    ...[...commands].map((command) => ({
      name: `global:${command}`,
      options: [...(own.get(command) ?? []), ...optionsOf(options, command)],
    })),
    {
      name: plan.stanza,
      options: [
        { name: "pg1-path", value: plan.dataDirectory },
        { name: "pg1-port", value: plan.port },
        ...optional("pg1-socket-path", plan.socketDirectory),
        ...optional("pg1-user", plan.databaseUser),
        ...optionsOf(options, null, isOfServer),
      ],
    },
  ];
}

const STANDBY_WAIT_S = 600;

/** A backup of a standby waits until its primary ends the segment, which `archive_timeout` there does. */
function backupWait(plan: ConfPlan): Option[] {
  const { archiveTimeoutSeconds = 0, options = {} } = plan;
  const isGiven = [...optionsOf(options, null), ...optionsOf(options, "backup")].some(
    ({ name }) => name === "archive-timeout",
  );
  if (slotOf(plan) !== "standby" || isGiven) return [];
  return [{ name: "archive-timeout", value: Math.max(STANDBY_WAIT_S, 2 * archiveTimeoutSeconds) }];
}

/** `pg1-database`: such an option is in the stanza's own section. */
function isOfServer(name: string): boolean {
  return /^pg\d*-/.test(name);
}

function compressOptions(repository: RepositoryPlan): Option[] {
  const type: Option = { name: "compress-type", value: repository.compressType };
  return repository.compressType === "none"
    ? [type]
    : [type, { name: "compress-level", value: repository.compressLevel }];
}

function repositoryOptions(plan: SecretLayout & Pick<ConfPlan, "pod">, repository: RepositoryPlan): Option[] {
  const prefix = repository.name;
  const option = (name: string, value: Option["value"]): Option => ({ name: `${prefix}-${name}`, value });
  return [
    option("type", repository.kind),
    option("path", repository.path),
    ...(repository.bundle ? [option("bundle", true)] : []),
    ...(repository.blockIncremental ? [option("block", true)] : []),
    ...(repository.encrypted ? [option("cipher-type", "aes-256-cbc")] : []),
    ...retentionOptions(repository, option),
    ...typeOf(repository)
      .confOptions(repository, secretsDirectory(plan), plan.pod)
      .map(({ name, value }) => option(name, value)),
    ...optionsOf(prefixed(repository), null),
  ];
}

function prefixed({ name, options }: RepositoryPlan): ConfOptions {
  return Object.fromEntries(Object.entries(options).map(([option, value]) => [`${name}-${option}`, value]));
}

function retentionOptions(
  { keepDiffCount, keepFullCount, keepDays }: RepositoryPlan,
  option: (name: string, value: Option["value"]) => Option,
): Option[] {
  const diff = keepDiffCount === undefined ? [] : [option("retention-diff", keepDiffCount)];
  if (keepDays !== undefined)
    return [...diff, option("retention-full", keepDays), option("retention-full-type", "time")];
  return keepFullCount === undefined
    ? diff
    : [...diff, option("retention-full", keepFullCount), option("retention-full-type", "count")];
}

function optional(name: string, value: string | undefined): Option[] {
  return value === undefined ? [] : [{ name, value }];
}
