/** Each repository alone, and no two at one location. Pure. */
import { checkRange } from "../arguments/ranges";
import { isTimeZone } from "../../../runtime/config/timeZone";
import { type GivenLimitRate, limitRateFault } from "../../../runtime/config/hours/limitRate";
import { levelRangeOf } from "../../../runtime/config/settings";
import { COMPRESS_TYPES, findCompressType, REPO_INDEX_MAX } from "../model/defaults";
import { type EngineRow, findEngine } from "../engines/engines";
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan } from "../model/plan";
import { KEEP_CLASSES, type KeepPlan } from "../repositories/repositoryType";
import { type RepositoryPlan, typeOf } from "../repositories/repositoryTypes";
import { isGiven, readOr } from "../model/deferred";
import { abstaining, eachOf } from "../findings/abstain";
import { checkPath, isBelow, isWithin } from "./values";

/** Reads PostgreSQL's, if it is on the same machine. */
export type DataDirectory = () => string | undefined;

export function checkRepositories({ engine, repositories }: DatabasePlan, dataDirectory: DataDirectory): Finding[] {
  const row = findEngine(engine);
  return abstaining(
    () => checkRepositoryCount(repositories, row),
    () =>
      eachOf(repositories, (repository) =>
        abstaining(
          () => checkRepository(repository, dataDirectory),
          () => checkEncryption(repository, row),
        ),
      ),
    () => checkSharedLocations(repositories),
  );
}

function checkRepositoryCount(repositories: readonly RepositoryPlan[], row: EngineRow | null): Finding[] {
  if (repositories.length > 0 || row?.repositoriesMax === 0) return [];
  const hint = "set repositories: { repo1: { at: … }, repo2: { at: … } }";
  return [finding("PB002", "repositories", "no repository is declared", hint)];
}

function checkRepository(repository: RepositoryPlan, dataDirectory: DataDirectory): Finding[] {
  const path = `repositories.${repository.name}`;
  return abstaining(
    () => checkRetention(repository, path),
    () => checkRepositoryValues(repository, path),
    () => checkLocation(repository, path, dataDirectory),
  );
}

/**
 * Values that a configuration has of each repository, also of one that is only read.
 * @param path of the repository's argument
 */
export function checkRepositoryValues(repository: RepositoryPlan, path: string): Finding[] {
  return abstaining(
    () =>
      eachOf(["keepFullCount", "keepDays", "keepDiffCount"] as const, (name) =>
        checkRange(`HostRepositoryArgs.${name}`, `${path}.${name}`, repository[name]),
      ),
    () => checkCompression(repository, `${path}.compress`),
    () => (repository.keep === undefined ? [] : checkKeep(repository.keep, `${path}.keep`)),
    () => (repository.limitRate === undefined ? [] : checkLimitRate(repository.limitRate, `${path}.limitRate`)),
  );
}

function checkKeep(keep: KeepPlan, path: string): Finding[] {
  return abstaining(
    () => {
      if (KEEP_CLASSES.some((each) => isGiven(() => keep[each]))) return [];
      const fact = "the calendar keeps nothing: it has none of daily, weekly, monthly and yearly";
      return [finding("PB212", path, fact, "set one, for instance monthly: 12")];
    },
    () => eachOf(KEEP_CLASSES, (each) => checkRange(`KeepArgs.${each}`, `${path}.${each}`, keep[each])),
    () => {
      if (isTimeZone(keep.zone)) return [];
      const hint = 'use UTC or a name such as "Europe/Berlin"';
      return [finding("PB011", `${path}.zone`, `"${keep.zone}" is not a time zone name`, hint)];
    },
  );
}

function checkLimitRate(limitRate: GivenLimitRate, path: string): Finding[] {
  const fault = limitRateFault(limitRate);
  if (fault === null) return [];
  const example = typeof limitRate === "string" ? '"20MiB"' : '{ "08:00-20:00": "20MiB", zone: "Europe/Berlin" }';
  return [
    finding("PB214", [path, ...fault.keys].join("."), `it ${fault.fact}`, `write it as in limitRate: ${example}`),
  ];
}

/** For repositories that are written, and for those that are only read. @param path of the repository's argument */
export function checkLocation(repository: RepositoryPlan, path: string, dataDirectory: DataDirectory): Finding[] {
  return abstaining(
    () => {
      if (repository.key !== 0) return [];
      const fact = `"${repository.name}" is not a repository key: use repo1 to repo${REPO_INDEX_MAX}`;
      return [finding("PB001", path, fact, "rename it; the number is part of every option name")];
    },
    () => checkPath(`${path}.at.path`, repository.path),
    () => typeOf(repository).checkAddress(repository, path, dataDirectory),
  );
}

/** An engine without encryption is a choice; a forgotten passphrase is a mistake. */
function checkEncryption(repository: RepositoryPlan, row: EngineRow | null): Finding[] {
  const { exposed } = typeOf(repository);
  if (exposed === null || repository.encrypted) return [];
  const path = `repositories.${repository.name}.at`;
  if (row?.encrypts === false) {
    const { site } = repository;
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

function checkRetention(repository: RepositoryPlan, path: string): Finding[] {
  const given = (["keepFullCount", "keepDays"] as const).filter((name) =>
    readOr(() => repository[name] !== undefined, true),
  );
  if (given.length === 0 && repository.keep !== undefined) {
    const fact =
      "a calendar without keepFullCount or keepDays: it only keeps what these remove, so every backup is kept";
    return [finding("PB212", `${path}.keep`, fact, "set keepDays to the days in which any point in time is needed")];
  }
  if (given.length === 0) {
    const fact = "neither keepFullCount nor keepDays is set: backups are kept until the repository is full";
    return [finding("PB006", path, fact, "set one of them")];
  }
  return abstaining(() => {
    if (repository.keepFullCount === undefined || repository.keepDays === undefined) return [];
    const fact = "keepFullCount and keepDays are both set: pgBackRest applies only one of them";
    return [finding("PB004", path, fact, "remove one")];
  });
}

/** Two repositories at one location, or one inside the other, destroy each other. */
function checkSharedLocations(repositories: readonly RepositoryPlan[]): Finding[] {
  return eachOf(repositories, (repository, index) =>
    eachOf(repositories.slice(0, index), (other) => {
      if (addressOf(repository) !== addressOf(other)) return [];
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
