/** Each repository alone, and no two at one location. Pure. */
import { levelRangeOf } from "../../../runtime/config/settings";
import { COMPRESS_TYPES, findCompressType, REPO_INDEX_MAX } from "../model/defaults";
import { type EngineRow, findEngine } from "../engines/engines";
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan } from "../model/plan";
import { type RepositoryPlan, typeOf } from "../repositories/repositoryTypes";
import { isUnknown } from "../model/unknown";
import { checkPath, isBelow, isWithin } from "./values";

const RETENTION_MAX = 9999999;

/** @param dataDirectory PostgreSQL's, if it is on the same machine */
export function checkRepositories(
  { engine, repositories }: DatabasePlan,
  dataDirectory: string | undefined,
): Finding[] {
  const row = findEngine(engine);
  return [
    ...checkRepositoryCount(repositories, row),
    ...repositories.flatMap((repository) => [
      ...checkRepository(repository, dataDirectory),
      ...checkEncryption(repository, row),
    ]),
    ...checkSharedLocations(repositories),
  ];
}

function checkRepositoryCount(repositories: readonly RepositoryPlan[], row: EngineRow | null): Finding[] {
  if (repositories.length > 0 || row?.repositoriesMax === 0) return [];
  const hint = "set repositories: { repo1: { at: … }, repo2: { at: … } }";
  return [finding("PB002", "repositories", "no repository is declared", hint)];
}

function checkRepository(repository: RepositoryPlan, dataDirectory: string | undefined): Finding[] {
  const path = `repositories.${repository.name}`;
  const findings: Finding[] = [];
  if (repository.key === 0) {
    const fact = `"${repository.name}" is not a repository key: use repo1 to repo${REPO_INDEX_MAX}`;
    findings.push(finding("PB001", path, fact, "rename it; the number is part of every option name"));
  }
  findings.push(...checkRetention(repository, path));
  findings.push(...checkCompression(repository, `${path}.compress`));
  findings.push(...checkPath(`${path}.at.path`, repository.path));
  findings.push(...typeOf(repository).checkAddress(repository, path, dataDirectory));
  return findings;
}

/** An engine without encryption is a choice; a forgotten passphrase is a mistake. */
function checkEncryption({ encrypted, kind, name, site }: RepositoryPlan, row: EngineRow | null): Finding[] {
  const { exposed } = typeOf({ kind });
  if (exposed === null || encrypted) return [];
  const path = `repositories.${name}.at`;
  if (row?.encrypts === false) {
    if (!site.thirdParty) return [];
    const fact = `${row.title} does not encrypt: anyone who can read the bucket at ${site.title} can read the database`;
    const hint = 'use engine "runtime" with a cipher, or silence this with the reason why it is acceptable';
    return [finding("PB078", path, fact, hint)];
  }
  const fact = `backups leave this machine unencrypted: anyone who can read the ${exposed} can read the database`;
  return [finding("PB007", path, fact, "set encrypt: true on the repository, or cipher with a CipherPassphrase")];
}

function checkCompression({ compressType, compressLevel }: RepositoryPlan, path: string): Finding[] {
  const type = findCompressType(compressType);
  if (type === null) {
    const fact = `"${compressType}" is not supported: use ${COMPRESS_TYPES.join(", ")}`;
    return [finding("PB015", `${path}.type`, fact, "")];
  }
  const { least, most } = levelRangeOf(type) ?? { least: 0, most: 0 };
  return isWithin(compressLevel, least, most)
    ? []
    : [finding("PB015", `${path}.level`, `${compressLevel} is outside ${least} to ${most} of ${type}`, "")];
}

function checkRetention({ keepDiffCount, keepFullCount, keepDays }: RepositoryPlan, path: string): Finding[] {
  if (keepFullCount !== undefined && keepDays !== undefined) {
    const fact = "keepFullCount and keepDays are both set: pgBackRest applies only one of them";
    return [finding("PB004", path, fact, "remove one")];
  }
  if (keepFullCount === undefined && keepDays === undefined) {
    const fact = "neither keepFullCount nor keepDays is set: backups are kept until the repository is full";
    return [finding("PB006", path, fact, "set one of them")];
  }
  return Object.entries({ keepFullCount, keepDays, keepDiffCount }).flatMap(([name, value]) => {
    if (value === undefined || isUnknown(value) || isWithin(value, 1, RETENTION_MAX)) return [];
    const fact = `${value} is outside 1 to ${RETENTION_MAX}`;
    return [finding("PB005", `${path}.${name}`, fact, "set at least 1, or leave it out to keep everything")];
  });
}

/** Two repositories at one location, or one inside the other, destroy each other. */
function checkSharedLocations(repositories: readonly RepositoryPlan[]): Finding[] {
  return repositories.flatMap((repository, index) =>
    repositories.slice(0, index).flatMap((other) => {
      if (
        addressOf(repository) !== addressOf(other) ||
        isUnknown(addressOf(repository)) ||
        isUnknown(repository.path) ||
        isUnknown(other.path)
      )
        return [];
      if (!isBelow(repository.path, other.path) && !isBelow(other.path, repository.path)) return [];
      const location = typeOf(repository).location(repository);
      const fact =
        repository.path === other.path
          ? `"${location}" is also the location of ${other.name}`
          : `"${location}" and "${typeOf(other).location(other)}" of ${other.name} are one inside the other`;
      return [
        finding(
          "PB008",
          `repositories.${repository.name}.at`,
          `${fact}: each repository needs its own`,
          "choose another path or bucket",
        ),
      ];
    }),
  );
}

function addressOf(repository: RepositoryPlan): string {
  return typeOf(repository).address(repository);
}
