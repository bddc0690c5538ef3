/** Each repository by itself, and that no two share a place. Pure. */
import { levelRangeOf } from "../../../runtime/config/settings";
import { COMPRESS_TYPES, findCompressType, REPO_KEY_MAX } from "../model/defaults";
import { type EngineRow, findEngine } from "../engines/engines";
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan, RepositoryPlan } from "../model/plan";
import { locationOf } from "../topology/topology";
import { isUnknown } from "../model/unknown";
import { isBelow, isWithin } from "./values";

const RETENTION_MAX = 9999999;

/** Findings in the order of the repositories. @param dataDirectory of PostgreSQL, where it is on the same machine */
export function checkRepositories({ engine, repositories }: DatabasePlan, dataDirectory: string | undefined): Finding[] {
  const row = findEngine(engine);
  return [
    ...checkRepositoryCount(repositories, row),
    ...repositories.flatMap((repository) => [...checkRepository(repository, dataDirectory), ...checkEncryption(repository, row)]),
    ...checkSharedPlaces(repositories),
  ];
}

function checkRepositoryCount(repositories: readonly RepositoryPlan[], row: EngineRow | null): Finding[] {
  if (repositories.length > 0 || row?.repositoriesMax === 0) return [];
  return [finding("PB002", "repositories", "no repository is given", "set repositories: { repo1: { at: … }, repo2: { at: … } }")];
}

function checkRepository(repository: RepositoryPlan, dataDirectory: string | undefined): Finding[] {
  const path = `repositories.${repository.name}`;
  const found: Finding[] = [];
  if (repository.key === 0) {
    found.push(
      finding(
        "PB001",
        path,
        `"${repository.name}" is no repository key: repo1 to repo${REPO_KEY_MAX} are`,
        "rename it; the number is part of every option name",
      ),
    );
  }
  found.push(...checkRetention(repository, path));
  found.push(...checkCompression(repository, `${path}.compress`));
  if (
    repository.kind === "posix" &&
    !isUnknown(repository.path) &&
    dataDirectory !== undefined &&
    !isUnknown(dataDirectory) &&
    isBelow(repository.path, dataDirectory)
  ) {
    found.push(
      finding(
        "PB019",
        `${path}.at.path`,
        `"${repository.path}" lies in the data directory "${dataDirectory}": it would be lost with it`,
        "choose another disk or host",
      ),
    );
  }
  found.push(...checkS3(repository, path), ...checkSftp(repository, path));
  return found;
}

/** An engine that cannot encrypt is a choice, a forgotten passphrase is a mistake. */
function checkEncryption({ encrypted, kind, name, place }: RepositoryPlan, row: EngineRow | null): Finding[] {
  if (kind === "posix" || encrypted) return [];
  const path = `repositories.${name}.at`;
  if (row?.encrypts === false) {
    if (!place.thirdParty) return [];
    const fact = `${row.title} encrypts nothing before it is sent: whoever can read the bucket at ${place.title} can read the database`;
    return [finding("PB078", path, fact, 'use engine "runtime" with a cipher, or silence this with the reason why it is acceptable')];
  }
  const where = kind === "s3" ? "bucket" : "directory on the server";
  const fact = `backups leave this machine unencrypted: whoever can read the ${where} can read the database`;
  return [finding("PB007", path, fact, "set cipher: new CipherPassphrase(…).ref on the repository")];
}

function checkCompression({ compressType, compressLevel }: RepositoryPlan, path: string): Finding[] {
  const type = findCompressType(compressType);
  if (type === null) return [finding("PB015", `${path}.type`, `"${compressType}" cannot be written: ${COMPRESS_TYPES.join(", ")} can`, "")];
  const { least, most } = levelRangeOf(type) ?? { least: 0, most: 0 };
  return isWithin(compressLevel, least, most)
    ? []
    : [finding("PB015", `${path}.level`, `${compressLevel} is outside ${least} to ${most} of ${type}`, "")];
}

function checkRetention({ keepDiffCount, keepFullCount, keepDays }: RepositoryPlan, path: string): Finding[] {
  if (keepFullCount !== undefined && keepDays !== undefined) {
    return [finding("PB004", path, "keepFullCount and keepDays are both set: pgBackRest keeps by one of them", "remove one")];
  }
  if (keepFullCount === undefined && keepDays === undefined) {
    return [finding("PB006", path, "neither keepFullCount nor keepDays is set: backups are kept until the repository is full", "set one of them")];
  }
  return Object.entries({ keepFullCount, keepDays, keepDiffCount }).flatMap(([name, value]) => {
    if (value === undefined || isUnknown(value) || isWithin(value, 1, RETENTION_MAX)) return [];
    const fact = `${value} would keep nothing or cannot be kept: 1 to ${RETENTION_MAX} can`;
    return [finding("PB005", `${path}.${name}`, fact, "set at least 1, or leave it out to keep everything")];
  });
}

function checkS3({ s3, path: prefix }: RepositoryPlan, path: string): Finding[] {
  if (s3 === undefined) return [];
  const found: Finding[] = [];
  if (!isUnknown(s3.endpoint) && !/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(s3.endpoint)) {
    found.push(
      finding(
        "PB020",
        `${path}.at.s3.endpoint`,
        `"${s3.endpoint}" is no host name`,
        'leave out "https://", the port (an argument of its own) and any path',
      ),
    );
  }
  if (!isUnknown(s3.bucket) && !/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(s3.bucket)) {
    found.push(
      finding("PB020", `${path}.at.s3.bucket`, `"${s3.bucket}" is no bucket name: 3 to 63 lower-case letters, digits, dots and hyphens`, ""),
    );
  }
  if (!isUnknown(s3.port) && !isWithin(s3.port, 1, 65535))
    found.push(finding("PB020", `${path}.at.s3.port`, `${s3.port} is no port: 1 to 65535`, ""));
  if (prefix === "/") {
    found.push(
      finding(
        "PB020",
        `${path}.at.path`,
        "the prefix is the whole bucket: other objects there could not be told apart",
        'set a prefix such as "/pgbackrest"',
      ),
    );
  }
  return found;
}

function checkSftp({ sftp, path: directory }: RepositoryPlan, path: string): Finding[] {
  if (sftp === undefined) return [];
  const found: Finding[] = [];
  const wrong = (field: string, fact: string, hint = ""): void => void found.push(finding("PB020", `${path}.at.${field}`, fact, hint));
  if (!isUnknown(sftp.host) && !/^[A-Za-z0-9:]([A-Za-z0-9.:-]*[A-Za-z0-9])?$/.test(sftp.host))
    wrong("host", `"${sftp.host}" is no host name`, "leave out the user and the port (arguments of their own) and any path");
  if (!isUnknown(sftp.user) && !/^[^\s@:/]+$/.test(sftp.user)) wrong("user", `"${sftp.user}" is no name of an account`);
  if (!isUnknown(sftp.port) && !isWithin(sftp.port, 1, 65535)) wrong("port", `${sftp.port} is no port: 1 to 65535`);
  if (!isUnknown(directory) && !directory.startsWith("/")) wrong("path", `"${directory}" is no absolute path`);
  if (sftp.hostKeyFields.length !== 1) {
    const given = sftp.hostKeyFields.length === 0 ? "neither hostKey nor hostFingerprint is set" : "hostKey and hostFingerprint are both set";
    wrong("hostKey", `${given}: by one of them the server is known`, "set hostKey to the line of ssh_host_ecdsa_key.pub on the server");
  } else if (!isUnknown(sftp.fingerprint) && !/^[0-9a-f]{64}$/.test(sftp.fingerprint)) {
    const [field = ""] = sftp.hostKeyFields;
    const form = field === "hostKey" ? 'a public key such as "ecdsa-sha2-nistp256 AAAA…"' : 'a SHA-256 such as "SHA256:…" of ssh-keygen -l';
    // Not quoted: what stands in the wrong place may be the private key.
    wrong(field, `the value is not ${form}`);
  }
  return found;
}

/** Two repositories in one place, or one inside the other, destroy each other. */
function checkSharedPlaces(repositories: readonly RepositoryPlan[]): Finding[] {
  return repositories.flatMap((repository, index) =>
    repositories.slice(0, index).flatMap((other) => {
      if (placeOf(repository) !== placeOf(other) || isUnknown(placeOf(repository)) || isUnknown(repository.path) || isUnknown(other.path)) return [];
      if (!isBelow(repository.path, other.path) && !isBelow(other.path, repository.path)) return [];
      const place = locationOf(repository);
      const fact =
        repository.path === other.path
          ? `"${place}" is the place of ${other.name} too`
          : `"${place}" and "${locationOf(other)}" of ${other.name} lie in each other`;
      return [finding("PB008", `repositories.${repository.name}.at`, `${fact}: each repository needs its own`, "choose another path or bucket")];
    }),
  );
}

function placeOf(repository: RepositoryPlan): string {
  const { s3, sftp } = repository;
  if (sftp !== undefined) return `${sftp.host}:${sftp.port}`;
  return s3 === undefined ? "filesystem" : `${s3.endpoint}:${s3.port}/${s3.bucket}`;
}
