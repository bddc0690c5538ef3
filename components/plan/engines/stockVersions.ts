/**
 * What versions of stock pgBackRest cannot do, or do wrongly. A preview judges a declared version by this table, an
 * update the version on the host. Pure data. Sources: pgBackRest's release notes and the issues named here, and runs of
 * 2.45, 2.55 and 2.60.
 */
import type { RepositoryPlan } from "../repositories/repositoryTypes";
import { compareVersions, isOlder } from "../../../runtime/config/compareVersions";

/** Affected versions: from the first on, and before the second. */
export interface VersionRange {
  readonly from?: string;
  readonly before?: string;
}

interface StockRow extends VersionRange {
  /** PB048 fails immediately, PB049 some day. */
  readonly code: "PB048" | "PB049";
  readonly concerns: (repository: RepositoryPlan) => boolean;
  readonly fact: string;
  readonly hint: string;
}

const ROWS: readonly StockRow[] = [
  {
    code: "PB048",
    before: "2.46",
    concerns: ({ blockIncremental }) => blockIncremental,
    fact: "block increments came with 2.46",
    hint: "leave blockIncremental out, or use a newer version",
  },
  {
    code: "PB048",
    before: "2.46",
    concerns: ({ kind }) => kind === "sftp",
    fact: "repositories over SFTP came with 2.46",
    hint: 'use a newer version, or engine "runtime"',
  },
  {
    code: "PB048",
    before: "2.39",
    concerns: ({ bundle }) => bundle,
    fact: "bundles came with 2.39",
    hint: "set bundle: false, or use a newer version",
  },
  {
    code: "PB048",
    before: "2.58",
    concerns: ({ s3 }) => s3?.keyType === "pod-id",
    fact: "key type pod-id came with 2.58",
    hint: 'use keyType "web-id", or a newer version',
  },
  {
    code: "PB048",
    before: "2.58",
    concerns: ({ azure }) => azure?.keyType === "auto",
    fact: "managed identities of Azure came with 2.58",
    hint: "use a signature or a key, or a newer version",
  },
  {
    code: "PB048",
    before: "2.38",
    concerns: ({ s3 }) => s3?.keyType === "web-id",
    fact: "key type web-id came with 2.38",
    hint: "use access keys, or a newer version",
  },
  {
    code: "PB048",
    from: "2.55",
    before: "2.56",
    concerns: ({ s3 }) => (s3?.facts.immutableDays ?? 0) > 0,
    fact: "2.55 sends no Content-MD5, which object lock requires: every upload fails",
    hint: "use 2.56 or newer",
  },
  {
    code: "PB049",
    from: "2.58",
    before: "2.59.1",
    concerns: ({ s3 }) => s3 !== undefined,
    fact: "multipart uploads can hang forever (pgbackrest#2818)",
    hint: "use 2.59.1 or newer",
  },
  {
    code: "PB049",
    before: "2.58",
    concerns: ({ s3 }) => s3 !== undefined,
    fact: "a stored file of more than 10,000 chunks aborts the backup (pgbackrest#2679)",
    hint: "use 2.58 or newer, or keep files below 150 GiB with chunks of 16 MiB",
  },
  {
    code: "PB049",
    before: "2.59.2",
    concerns: ({ s3 }) => s3?.facts.versioning === true,
    fact: "a state before an attack cannot be read (repo-target-time) where a prefix holds more than 1,000 versions (pgbackrest#2854)",
    hint: "restore with this package's runtime, or use a version after 2.59.1",
  },
  {
    code: "PB049",
    before: "2.59.2",
    concerns: ({ blockIncremental }) => blockIncremental,
    fact: "a file that shrinks to nothing during a backup gets an empty block map, which breaks later increments",
    hint: "use 2.59.2 or newer, or leave blockIncremental out",
  },
];

/** A row for one repository of a plan, for any version: plain data. */
export interface StockLimit extends VersionRange {
  readonly code: "PB048" | "PB049";
  /** `repositories.repo2` */
  readonly path: string;
  readonly fact: string;
  readonly hint: string;
}

/** In the order of the repositories. */
export function stockLimits(repositories: readonly RepositoryPlan[]): StockLimit[] {
  return repositories.flatMap((repository) =>
    ROWS.filter((row) => row.concerns(repository)).map(({ concerns: _concerns, ...row }) => ({
      ...row,
      path: `repositories.${repository.name}`,
    })),
  );
}

/** True when `version` is known and in the range. */
export function isInRange({ from, before }: VersionRange, version: string): boolean {
  return (
    compareVersions(version, "0") !== null &&
    !(from !== undefined && isOlder(version, from)) &&
    (before === undefined || isOlder(version, before))
  );
}

/**
 * First pgBackRest versions that support each major version of PostgreSQL. Older major versions are supported by every
 * version listed here. 2.59 reads betas of 19 only: since the release candidate pg_control has another layout.
 */
const POSTGRES_SINCE: readonly (readonly [major: number, since: string])[] = [
  [19, "2.60"],
  [18, "2.55"],
  [17, "2.54"],
  [16, "2.47"],
];

/** Null if `version` supports that major version. */
export function postgresLimit(version: string, major: number): string | null {
  const since = POSTGRES_SINCE.find(([known]) => known === major)?.[1];
  return since !== undefined && isOlder(version, since)
    ? `pgBackRest supports PostgreSQL ${major} from ${since} on`
    : null;
}
