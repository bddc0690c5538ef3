/**
 * `pgbackrest.conf` of a host: everything that stock pgBackRest understands, nothing that is secret. Stock reads the same file, together
 * with the credentials files of `conf.d`. Options and their sections: pgBackRest 2.60 "build/config/config.yaml".
 */
import { secretsDirectory, type SecretPlace } from "../../plan/host/hostCommand";
import { type ConfSection, renderConf } from "../../../runtime/config/render";
import { DEFAULTS } from "../../plan/model/defaults";
import type { HostPlan, RepositoryPlan } from "../../plan/model/plan";
import { restoreCommand } from "./commandLine";
import { sftpKeyFile } from "./systemdCredentials";

/** What the table of providers advises for all of them. */
const UPLOAD_CHUNK = "16MiB";

type Option = ConfSection["options"][number];

const COMMENT = "Written by pgbackstop: changes made here by hand are undone by the next update. Secrets are in";

/** What the file says, wherever PostgreSQL runs. */
export type ConfPlan = Pick<
  HostPlan,
  "agent" | "stanza" | "repositories" | "directories" | "processMax" | "dataDirectory" | "port" | "socketDirectory" | "databaseUser"
> &
  Partial<Pick<HostPlan, "drillsOnly">>;

/** The whole text. @throws BackupError when an option cannot be written */
export function renderPgbackrestConf(plan: ConfPlan): string {
  const directory = secretsDirectory(plan);
  return renderConf(confSections(plan), `${COMMENT} ${directory.slice(directory.lastIndexOf("/") + 1)}.`);
}

/** The same as structure: `[global]` with the repositories, the stanza's own section with its PostgreSQL. */
export function confSections(plan: ConfPlan): ConfSection[] {
  const { directories } = plan;
  const first = plan.repositories[0];
  return [
    {
      name: "global",
      options: [
        ...plan.repositories.flatMap((repository) => repositoryOptions(plan, repository)),
        // One compression for all in pgBackRest; the settings file has what differs per repository.
        ...(first === undefined ? [] : compressOptions(first)),
        { name: "lock-path", value: directories.lock },
        { name: "log-path", value: directories.log },
        { name: "process-max", value: plan.processMax },
        { name: "spool-path", value: directories.spool },
        { name: "start-fast", value: true },
      ],
    },
    // What was restored here asks the agent for its WAL, which has the keys.
    ...(plan.agent && plan.drillsOnly !== true
      ? [{ name: "global:restore", options: [{ name: "recovery-option", value: `restore_command=${restoreCommand(plan)}` }] }]
      : []),
    {
      name: plan.stanza,
      options: [
        { name: "pg1-path", value: plan.dataDirectory },
        { name: "pg1-port", value: plan.port },
        ...optional("pg1-socket-path", plan.socketDirectory),
        ...optional("pg1-user", plan.databaseUser),
      ],
    },
  ];
}

function compressOptions(repository: RepositoryPlan): Option[] {
  const type: Option = { name: "compress-type", value: repository.compressType };
  return repository.compressType === "none" ? [type] : [type, { name: "compress-level", value: repository.compressLevel }];
}

function repositoryOptions(place: SecretPlace, repository: RepositoryPlan): Option[] {
  const prefix = repository.name;
  const option = (name: string, value: Option["value"]): Option => ({ name: `${prefix}-${name}`, value });
  const { s3, sftp } = repository;
  const keyFile = sftpKeyFile(place, repository);
  return [
    option("type", repository.kind),
    option("path", repository.path),
    ...(repository.bundle ? [option("bundle", true)] : []),
    ...(repository.blockIncremental ? [option("block", true)] : []),
    ...(repository.encrypted ? [option("cipher-type", "aes-256-cbc")] : []),
    ...retentionOptions(repository, option),
    ...(s3 === undefined
      ? []
      : [
          option("s3-bucket", s3.bucket),
          option("s3-endpoint", s3.endpoint),
          option("s3-region", s3.region),
          option("s3-uri-style", s3.uriStyle),
          ...(s3.keyType === DEFAULTS.keyType ? [] : [option("s3-key-type", s3.keyType)]),
          option("storage-port", s3.port),
          // Equal parts up to 5.5 GiB of stored size even where stock lets them grow: R2 demands it, the others do not mind.
          option("storage-upload-chunk-size", UPLOAD_CHUNK),
          ...(s3.caFile === undefined ? [] : [option("storage-ca-file", s3.caFile)]),
        ]),
    ...(sftp === undefined
      ? []
      : [
          option("sftp-host", sftp.host),
          option("sftp-host-port", sftp.port),
          option("sftp-host-user", sftp.user),
          option("sftp-host-key-hash-type", "sha256"),
          option("sftp-host-key-check-type", "fingerprint"),
          option("sftp-host-fingerprint", sftp.fingerprint),
          ...(keyFile === undefined ? [] : [option("sftp-private-key-file", keyFile)]),
        ]),
  ];
}

function retentionOptions(
  { keepDiffCount, keepFullCount, keepDays }: RepositoryPlan,
  option: (name: string, value: Option["value"]) => Option,
): Option[] {
  const diff = keepDiffCount === undefined ? [] : [option("retention-diff", keepDiffCount)];
  if (keepDays !== undefined) return [...diff, option("retention-full", keepDays), option("retention-full-type", "time")];
  return keepFullCount === undefined ? diff : [...diff, option("retention-full", keepFullCount), option("retention-full-type", "count")];
}

function optional(name: string, value: string | undefined): Option[] {
  return value === undefined ? [] : [{ name, value }];
}
