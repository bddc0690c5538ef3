/**
 * What a type of repository answers. Each type is one row, in a file of its own beside this one; repositoryTypes.ts lists them. Everything that
 * depends on the type stands in its row, so that a new type is a row and the compiler names what the row lacks. Pure.
 */
import type { ConfSection } from "../../../runtime/config/render";
import type { HostSecretFiles } from "../../databases/hostArgs";
import type { RepositoryTarget } from "../../repositories/target";
import type { Finding } from "../findings/findings";

/** Behind the name of a repository: the credential that is a file of options. It may name any other secret. */
export const OPTIONS_FILE = "existing.conf";

export type ConfOption = ConfSection["options"][number];

/** What every target says, whatever its type. */
export interface TargetBase {
  readonly name: string;
  /** Directory, or key prefix with a leading slash. */
  readonly path?: string | undefined;
  readonly requireMount?: boolean | undefined;
  /** True when a cipher passphrase was given; the passphrase itself never comes here. */
  readonly encrypted: boolean;
  /** True where a fire in the house of the database does not reach the copies. */
  readonly offSite?: boolean | undefined;
  /** True where the keys only read. */
  readonly readOnly?: boolean | undefined;
}

/** Where copies lie, and what they are lost together with. */
export interface PlacePlan {
  /** Row of the table of S3 providers (`b2`), `filesystem` or `sftp`; a marker of unknown.ts while the endpoint is not known. */
  readonly provider: string;
  /** `Backblaze B2`, `file system`. */
  readonly title: string;
  /** What fails together: an account at a vendor, a server, a file system. */
  readonly failureDomain: string;
  /** True where the loss of the database's site leaves the copies; undefined where nobody said and nobody can guess. */
  readonly offSite: boolean | undefined;
  /** True where somebody else owns the disks: what lies there unencrypted can be read by others. */
  readonly thirdParty: boolean;
}

/** What every repository has, whatever its type. */
export interface RepositoryBase {
  /** 1 for repo1; 0 when the name is not one (a finding says so). */
  readonly key: number;
  /** `repo1`. */
  readonly name: string;
  readonly path: string;
  readonly requireMount: boolean;
  readonly place: PlacePlan;
  readonly encrypted: boolean;
  /** True where an update brings secrets of it to the host. */
  readonly writesSecrets: boolean;
  /** Paths of secrets that are already on the host, by the name of the credential. Absent without any. */
  readonly secretFiles?: Readonly<Record<string, string>>;
  /** True where the keys only read. */
  readonly readOnly: boolean;
  readonly keepFullCount: number | undefined;
  readonly keepDays: number | undefined;
  /** Differential backups kept; undefined keeps those of every kept full backup. */
  readonly keepDiffCount: number | undefined;
  readonly compressType: string;
  readonly compressLevel: number;
  /** Small files share objects. */
  readonly bundle: boolean;
  readonly blockIncremental: boolean;
}

/** A secret that is a file of its own on the host. Its path ends with `-<fileName>` behind the name of the repository. */
export interface SecretText<Text> {
  readonly fileName: string;
  readonly text: Text;
}

type Secret = NonNullable<RepositoryTarget["cipher"]>["passphrase"];

/**
 * One row. Methods, not function fields: a row may then ask for the part of a repository that its own type has. Callers find the row by the
 * repository's kind.
 */
export interface RepositoryType<Target extends TargetBase, Repository extends RepositoryBase> {
  /** True where each object costs money or time, so that small files share objects unless the user says otherwise. */
  readonly bundles: boolean;
  /** Who reads it reads the database, unless it is encrypted: `bucket`. Null where nothing leaves the machine. */
  readonly exposed: string | null;
  /** Option that each field of `secretFiles` stands for, without `repoN-`. */
  readonly secretFiles: Readonly<Partial<Record<keyof HostSecretFiles, string>>>;

  /** The type's part of a target without what is secret. */
  open(target: RepositoryTarget): object;
  /** Secret values by the option that each is for, without `repoN-`. */
  secrets(target: RepositoryTarget): Readonly<Record<string, Secret | undefined>>;
  /** A secret that is a file of its own on the host; null where there is none. */
  secretText(target: RepositoryTarget): SecretText<Secret> | null;

  /** The type's part of the plan, every default filled in. */
  resolve(target: Target): object;
  place(target: Target): PlacePlan;
  /** True where an update brings keys to the host. */
  bringsKeys(target: Target): boolean;

  /** For people and topologies: `s3://bucket/prefix`. */
  location(repository: Repository): string;
  /** What the location does not say of its server; null where it says all. */
  endpoint(repository: Repository): string | null;
  /** Equal for two repositories that lie in each other if their paths do. */
  address(repository: Repository): string;
  /** Options of `pgbackrest.conf` behind those that every type has. @param directory of the secrets on the host */
  confOptions(repository: Repository, directory: string): readonly ConfOption[];
  /** The option whose value is a file with a secret, and that file; null where there is none. @param directory of the secrets on the host */
  keyFile(repository: Repository, directory: string): { readonly option: string; readonly path: string } | null;

  /** What is wrong with the address. @param path `repositories.repo1` @param dataDirectory of PostgreSQL, where it is on the same machine */
  checkAddress(repository: Repository, path: string, dataDirectory: string | undefined): Finding[];
  /** What is wrong with the keys. */
  checkKeys(repository: Repository, path: string, database: "host" | "cnpg"): Finding[];
  /** What is wrong with secrets that are on the host already. @param options of which there are files, without `repoN-` */
  checkSecretFiles(repository: Repository, path: string, options: readonly string[]): Finding[];
  /** What a pod cannot reach. */
  checkPod(repository: Repository, path: string): Finding[];
}
