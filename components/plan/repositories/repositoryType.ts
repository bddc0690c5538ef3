/**
 * The interface of a repository type. Each type is a row in a file next to this one; repositoryTypes.ts lists them.
 * Everything that depends on the type is in its row, so a new type is a new row and the compiler names what it lacks.
 * Pure.
 */
import type { GivenLimitRate } from "../../../runtime/config/hours/limitRate";
import type { ConfSection } from "../../../runtime/config/render";
import type { HostSecretFiles } from "../../databases/hostArgs";
import type { RepositoryTarget } from "../../repositories/target";
import type { ConfOptions } from "../model/confOptions";
import type { Finding } from "../findings/findings";

/** Suffix after the repository's name, for the credential that is a file of options. It may hold any other secret. */
export const OPTIONS_FILE = "existing.conf";
/** The same for an environment file (runtime/config/secretFiles.ts). */
export const ENV_FILE = "env";

export type ConfOption = ConfSection["options"][number];

/** Nothing for a value that is usual, or not given. */
export function unusualOption(
  name: string,
  value: ConfOption["value"] | undefined,
  usual?: ConfOption["value"],
): readonly ConfOption[] {
  return value === undefined || value === usual ? [] : [{ name, value }];
}

/** What differs in a pod, whose keys are files of a Secret, and which only this runtime reads. */
export interface PodConf {
  /** Size of the parts of an upload to S3. On hosts it is one that is right for stock too. */
  readonly uploadChunk: string;
}

/** Common to all targets. */
export interface TargetBase {
  readonly name: string;
  /** Directory, or key prefix with a leading slash. */
  readonly path?: string | undefined;
  readonly requireMount?: boolean | undefined;
  /** True if a cipher passphrase was given; the passphrase never comes here. */
  readonly encrypted: boolean;
  /** True if the copies survive a fire at the database's site. */
  readonly offSite?: boolean | undefined;
  /** True if the keys are read-only. */
  readonly readOnly?: boolean | undefined;
}

/** Where copies are, and what they are lost together with. */
export interface SitePlan {
  /**
   * Row of the S3 providers' table (`b2`), `azure`, `gcs`, `filesystem` or `sftp`; a marker of unknown.ts while the
   * endpoint is unknown.
   */
  readonly provider: string;
  /** `Backblaze B2`, `file system`. */
  readonly title: string;
  /** Failure domain: an account at a vendor, a server, a file system. */
  readonly failureDomain: string;
  /** True if the copies survive the loss of the database's site; undefined if unknown. */
  readonly offSite: boolean | undefined;
  /** True if others own the disks and can read unencrypted backups. */
  readonly thirdParty: boolean;
}

export const KEEP_CLASSES = ["daily", "weekly", "monthly", "yearly"] as const;
export type KeepClass = (typeof KEEP_CLASSES)[number];

/** How many periods of each class keep a backup, and where days begin. */
export type KeepPlan = Readonly<Partial<Record<KeepClass, number>>> & { readonly zone: string };

/** Common to all repositories. */
export interface RepositoryBase {
  /** 1 for repo1; 0 for an invalid name (a finding reports it). */
  readonly key: number;
  /** `repo1`. */
  readonly name: string;
  readonly path: string;
  readonly requireMount: boolean;
  readonly site: SitePlan;
  readonly encrypted: boolean;
  /** True if an update writes its secrets to the host. */
  readonly writesSecrets: boolean;
  /** Paths of secrets already on the host, by credential name; absent without any. */
  readonly secretFiles?: Readonly<Record<string, string>>;
  /** True if the keys are read-only. */
  readonly readOnly: boolean;
  readonly keepFullCount: number | undefined;
  readonly keepDays: number | undefined;
  /** Differential backups kept; undefined keeps all those of kept full backups. */
  readonly keepDiffCount: number | undefined;
  /** Backups that stay by calendar; undefined keeps none. */
  readonly keep: KeepPlan | undefined;
  /** Bytes a second, such as `20MiB`, or by hours of the day; undefined has no limit. */
  readonly limitRate: GivenLimitRate | undefined;
  readonly compressType: string;
  readonly compressLevel: number;
  readonly bundle: boolean;
  readonly blockIncremental: boolean;
  /** Options of pgBackRest that the user passes on, without `repoN-`. */
  readonly options: ConfOptions;
}

/** A secret in its own file on the host. Its path ends with the repository's name and `-<fileName>`. */
export interface SecretText<Text> {
  readonly fileName: string;
  readonly text: Text;
}

type Secret = NonNullable<RepositoryTarget["cipher"]>["passphrase"];

/**
 * One row. Methods, not function fields, so that a row can ask for its own type's part of a repository. Callers find
 * the row by the repository's kind.
 */
export interface RepositoryType<Target extends TargetBase, Repository extends RepositoryBase> {
  /** True if each object costs money or time, so that small files share objects by default. */
  readonly bundles: boolean;
  /** What exposes unencrypted data, for instance `bucket`. Null if nothing leaves the machine. */
  readonly exposed: string | null;
  /** Field of `secretFiles` to option, without `repoN-`. */
  readonly secretFiles: Readonly<Partial<Record<keyof HostSecretFiles, string>>>;

  /** The type's part of a target, without secrets. */
  open(target: RepositoryTarget): object;
  /** Secret values by option, without `repoN-`. */
  secrets(target: RepositoryTarget): Readonly<Record<string, Secret | undefined>>;
  /** Null if the type has none. */
  secretText(target: RepositoryTarget): SecretText<Secret> | null;

  /** The type's part of the plan, with defaults. */
  resolve(target: Target): object;
  site(target: Target): SitePlan;
  /** True if an update writes keys to the host. */
  bringsKeys(target: Target): boolean;

  /** Shown to users and in topologies: `s3://bucket/prefix`. */
  location(repository: Repository): string;
  /** Server details that the location lacks; null if it has all. */
  endpoint(repository: Repository): string | null;
  /** Distinguishes repositories of one location, as `host[:port]`; null if the location alone decides. */
  server(repository: Repository): string | null;
  /** Equal for two repositories whose paths decide whether they overlap. */
  address(repository: Repository): string;
  /**
   * Options of `pgbackrest.conf` after those of every type.
   * @param directory of the secrets on the host
   * @param pod undefined on a host
   */
  confOptions(repository: Repository, directory: string, pod?: PodConf): readonly ConfOption[];
  /**
   * The option whose value is a file with a secret, and that file; null if absent.
   * @param directory of the secrets on the host
   */
  keyFile(repository: Repository, directory: string): { readonly option: string; readonly path: string } | null;

  /**
   * Checks the address.
   * @param path `repositories.repo1`
   * @param dataDirectory reads PostgreSQL's, if it is on the same machine
   */
  checkAddress(repository: Repository, path: string, dataDirectory: () => string | undefined): Finding[];
  checkKeys(repository: Repository, path: string, database: "host" | "cnpg"): Finding[];
  /** Checks secrets that are already on the host. @param options that have files, without `repoN-` */
  checkSecretFiles(repository: Repository, path: string, options: readonly string[]): Finding[];
  /** Checks whether a pod can reach it. */
  checkPod(repository: Repository, path: string): Finding[];
}
