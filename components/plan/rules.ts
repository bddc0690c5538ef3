/**
 * What is wrong or weak in a host's plan: all findings at once. Pure. Values that are not known yet are left alone; the check runs again
 * when they are.
 */
import { levelRangeOf } from "../../runtime/config/settings";
import { type Finding, finding } from "./findings";
import { COMPRESS_TYPES, findCompressType, type HostPlan, type RepositoryPlan, REPO_KEY_MAX } from "./resolve";
import { isTimeZone, parseCron, type Schedule } from "./schedule";
import { locationOf } from "./topology";
import { isUnknown } from "./unknown";

const RETENTION_MAX = 9999999;
const ACKNOWLEDGE_MODES = ["all", "any", "named"];
/** Paths appear in ini files, shell words of PostgreSQL's archive_command (where `%` begins a placeholder) and unit files. */
const PATH_CHARACTERS = /^\/[A-Za-z0-9_.,:@+=/ ~-]*$/;

/** Findings of all severities, in the order of the arguments. */
export function checkHost(plan: HostPlan): Finding[] {
  return [
    ...checkIdentity(plan),
    ...checkPaths(plan),
    ...checkRepositoryCount(plan),
    ...plan.repositories.flatMap((repository) => checkRepository(repository, plan)),
    ...checkSharedPlaces(plan.repositories),
    ...checkProviders(plan.repositories),
    ...checkAcknowledge(plan),
    ...plan.schedules.flatMap(checkSchedule),
    ...(plan.schedules.length === 0
      ? [
          finding(
            "PB012",
            "schedules",
            "no backup is scheduled: WAL grows without end and a restore takes ever longer",
            'set schedules.full, for instance { cron: "0 3 * * 0" }',
          ),
        ]
      : []),
  ];
}

function checkIdentity(plan: HostPlan): Finding[] {
  const found: Finding[] = [];
  if (plan.connections.length !== 1) {
    const given = plan.connections.length === 0 ? "none" : plan.connections.join(" and ");
    found.push(finding("PB016", "connection", `exactly one way to reach the host is needed, ${given} is given`, "set connection: { local: {} }"));
  }
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(plan.stanza)) {
    found.push(
      finding(
        "PB013",
        "stanza",
        `"${plan.stanza}" is no stanza name: letters, digits, underscore, dot and hyphen are allowed`,
        'set a name such as "main"',
      ),
    );
  }
  if (plan.engine !== "runtime") {
    found.push(
      finding("PB010", "engine", `engine "${plan.engine}" cannot be installed on a host by this version`, 'set engine "runtime" or leave it out'),
    );
  }
  if (!/^[a-z_][a-z0-9_-]*$/.test(plan.user) || plan.user === "root") {
    found.push(
      finding(
        "PB022",
        "user",
        `"${plan.user}" cannot be the account of PostgreSQL: the server refuses to run as root`,
        'set the account that owns dataDirectory, usually "postgres"',
      ),
    );
  }
  if (!isUnknown(plan.port) && !isWithin(plan.port, 1, 65535)) found.push(finding("PB014", "port", `${plan.port} is no port: 1 to 65535`, ""));
  if (!isWithin(plan.processMax, 1, 999)) found.push(finding("PB014", "processMax", `${plan.processMax} is outside 1 to 999`, ""));
  if (plan.allowRestart && plan.restartCommand.length === 0) {
    found.push(
      finding(
        "PB018",
        "restartCommand",
        "allowRestart is set but there is no command that restarts PostgreSQL",
        'set restartCommand, for instance ["systemctl", "restart", "postgresql"]',
      ),
    );
  }
  return found;
}

function checkPaths(plan: HostPlan): Finding[] {
  const paths: [argument: string, path: string | undefined][] = [
    ["dataDirectory", plan.dataDirectory],
    ["socketDirectory", plan.socketDirectory],
    ["nodePath", plan.nodePath],
    ...Object.entries(plan.directories).map(([name, path]): [string, string] => [`directories.${name}`, path]),
    ...plan.repositories.flatMap((repository): [string, string | undefined][] => [
      [`repositories.${repository.name}.at.path`, repository.path],
      [`repositories.${repository.name}.at.s3.caFile`, repository.s3?.caFile],
    ]),
  ];
  return paths.flatMap(([argument, path]) => {
    if (path === undefined || isUnknown(path)) return [];
    if (PATH_CHARACTERS.test(path) && path.trim() === path && !/\/\.\.?(\/|$)/.test(path) && (path === "/" || !path.endsWith("/"))) return [];
    return [
      finding(
        "PB014",
        argument,
        `"${path}" cannot be used as a path here: it must be absolute, without "." or ".." parts and a slash at the end, of letters, digits, blanks and _ . , : @ + = ~ -`,
        "move the directory or link to it by another name",
      ),
    ];
  });
}

function checkRepositoryCount(plan: HostPlan): Finding[] {
  if (plan.repositories.length === 0) {
    return [finding("PB002", "repositories", "no repository is given", "set repositories: { repo1: { at: … }, repo2: { at: … } }")];
  }
  if (plan.repositories.length > 1) return [];
  return [
    finding("PB003", "repositories", "there is one repository only: its loss is the loss of every backup", "add a second one at another place"),
  ];
}

function checkRepository(repository: RepositoryPlan, plan: HostPlan): Finding[] {
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
  if (repository.kind === "s3" && !repository.encrypted) {
    found.push(
      finding(
        "PB007",
        `${path}.at`,
        "backups leave this machine unencrypted: whoever can read the bucket can read the database",
        "set cipher: new CipherPassphrase(…).ref on the repository",
      ),
    );
  }
  found.push(...checkCompression(repository, `${path}.compress`));
  if (repository.kind === "posix" && !isUnknown(repository.path) && !isUnknown(plan.dataDirectory) && isBelow(repository.path, plan.dataDirectory)) {
    found.push(
      finding(
        "PB019",
        `${path}.at.path`,
        `"${repository.path}" lies in the data directory "${plan.dataDirectory}": it would be lost with it`,
        "choose another disk or host",
      ),
    );
  }
  found.push(...checkS3(repository, path));
  return found;
}

function checkCompression({ compressType, compressLevel }: RepositoryPlan, path: string): Finding[] {
  const type = findCompressType(compressType);
  if (type === null) return [finding("PB015", `${path}.type`, `"${compressType}" cannot be written: ${COMPRESS_TYPES.join(", ")} can`, "")];
  const { least, most } = levelRangeOf(type) ?? { least: 0, most: 0 };
  return isWithin(compressLevel, least, most)
    ? []
    : [finding("PB015", `${path}.level`, `${compressLevel} is outside ${least} to ${most} of ${type}`, "")];
}

function checkRetention({ keepFullCount, keepDays }: RepositoryPlan, path: string): Finding[] {
  if (keepFullCount !== undefined && keepDays !== undefined) {
    return [finding("PB004", path, "keepFullCount and keepDays are both set: pgBackRest keeps by one of them", "remove one")];
  }
  if (keepFullCount === undefined && keepDays === undefined) {
    return [finding("PB006", path, "neither keepFullCount nor keepDays is set: backups are kept until the repository is full", "set one of them")];
  }
  const [name, value] = keepFullCount === undefined ? ["keepDays", keepDays] : ["keepFullCount", keepFullCount];
  if (value === undefined || isUnknown(value) || isWithin(value, 1, RETENTION_MAX)) return [];
  return [
    finding(
      "PB005",
      `${path}.${name}`,
      `${value} would keep nothing or cannot be kept: 1 to ${RETENTION_MAX} can`,
      "set at least 1, or leave it out to keep everything",
    ),
  ];
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

/** Several copies that fail together are one copy. */
function checkProviders(repositories: readonly RepositoryPlan[]): Finding[] {
  const [first] = repositories;
  if (first === undefined || repositories.length < 2) return [];
  const providers = new Set(repositories.map(placeProvider));
  if (providers.size > 1 || isUnknown([...providers][0])) return [];
  return [
    finding(
      "PB009",
      "repositories",
      `all ${repositories.length} repositories depend on ${placeProvider(first)}: they can be lost together`,
      "put one of them elsewhere",
    ),
  ];
}

function placeOf(repository: RepositoryPlan): string {
  return repository.s3 === undefined ? "filesystem" : `${repository.s3.endpoint}:${repository.s3.port}/${repository.s3.bucket}`;
}

function placeProvider(repository: RepositoryPlan): string {
  return repository.s3 === undefined ? "the file systems of this host" : repository.s3.endpoint;
}

function checkAcknowledge({ acknowledge, repositories }: HostPlan): Finding[] {
  if (!ACKNOWLEDGE_MODES.includes(acknowledge.mode)) {
    return [finding("PB017", "acknowledge.mode", `"${acknowledge.mode}" is none of ${ACKNOWLEDGE_MODES.join(", ")}`, "")];
  }
  if ((acknowledge.mode === "named") !== acknowledge.repositories.length > 0) {
    return [
      finding(
        "PB017",
        "acknowledge.repositories",
        'names of repositories belong to mode "named" and only to it',
        'set mode "named" with at least one repository',
      ),
    ];
  }
  const missing = acknowledge.repositories.filter((name) => !repositories.some((repository) => repository.name === name));
  if (missing.length > 0) {
    return [
      finding(
        "PB017",
        "acknowledge.repositories",
        `${missing.join(", ")} is no repository of this host`,
        `name some of ${repositories.map(({ name }) => name).join(", ")}`,
      ),
    ];
  }
  if (acknowledge.mode === "any" && repositories.length > 1) {
    return [
      finding(
        "PB021",
        "acknowledge.mode",
        'with "any" PostgreSQL may remove a segment that only one repository holds',
        'watch the debt that info reports and run heal, or use "all"',
      ),
    ];
  }
  return [];
}

function checkSchedule(schedule: Schedule): Finding[] {
  const path = `schedules.${schedule.name}`;
  const found: Finding[] = [];
  const parsed = parseCron(schedule.cron);
  if (!parsed.ok) found.push(finding("PB011", `${path}.cron`, parsed.reason, 'write for instance "30 2 * * 0" for Sundays at 02:30'));
  if (!isTimeZone(schedule.timeZone)) {
    found.push(finding("PB011", `${path}.timeZone`, `"${schedule.timeZone}" is no time zone name`, 'use UTC or a name such as "Europe/Berlin"'));
  }
  if (!isWithin(schedule.jitterSeconds, 0, 86400))
    found.push(finding("PB023", `${path}.jitterSeconds`, `${schedule.jitterSeconds} is outside 0 to 86400`, ""));
  if (!isWithin(schedule.deadlineSeconds, 60, 604800)) {
    found.push(finding("PB023", `${path}.deadlineSeconds`, `${schedule.deadlineSeconds} is outside 60 to 604800`, ""));
  }
  return found;
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

/** True when `path` is `parent` or lies below it. */
function isBelow(path: string, parent: string): boolean {
  return path === parent || parent === "/" || path.startsWith(`${parent}/`);
}
