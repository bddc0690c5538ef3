/**
 * The plugin's parameters in `spec.plugins[].parameters` and `externalClusters[].plugin.parameters`: texts, checked
 * only here. Pure. Unknown ones are refused: a typing error would silently drop a setting.
 */
import { findTimeMs } from "../../base/clock";
import { fail } from "../../base/errors";
import { nearNames } from "../../base/nearNames";
import type { Parameters } from "../kubernetes/clusterObject";
import { OBJECT_NAME, secretKeyOf } from "../names";

export interface PluginParameters {
  readonly stanza: string;
  /** ConfigMap with `pgbackrest.conf`, and optionally `pgbackstop.json`. */
  readonly configMap: string;
  /** ConfigMap with the runtime; undefined if the image contains it, or the plugin serves it. */
  readonly bundle: string | undefined;
  /** SHA-256 and URL of the runtime; the URL is empty with `bundle`. Undefined if `bundle` or the image carries it. */
  readonly runtime: { readonly sha256: string; readonly url: string } | undefined;
  /** Image of Node, with the runtime or without. */
  readonly image: string;
  /** Secrets of each repository, by `repo1`, …, ascending. */
  readonly secrets: readonly RepoSecret[];
  /** Secret whose `*.conf` files are read after pgbackrest.conf. */
  readonly secretConf: string | undefined;
  /** Key of a Secret with the password of the report; undefined if the sidecar serves none. */
  readonly reportPassword: { readonly name: string; readonly key: string } | undefined;
  /** Claims that are mounted below {@link PATHS.claims}, ascending. */
  readonly claims: readonly string[];
  readonly backupType: RequestedBackupType;
  readonly fullEveryDays: number;
  /** For a recovery: the repository to read, and the newest segment to use, as {@link NEWEST_WAL}. */
  readonly repoIndex: number | undefined;
  readonly newestWal: string | undefined;
  /** Read the repository as of this time. */
  readonly repositoryTargetTime: string | undefined;
  /** Names and quantities of `resources`, unchanged. */
  readonly requests: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, string>>;
}

/** One Secret with keys named like files, or keys of Secrets by file name. */
export type RepoSecret = { readonly repo: string } & (
  | { readonly name: string; readonly files?: undefined }
  | { readonly files: readonly { readonly file: string; readonly name: string; readonly key: string }[] }
);

export const BACKUP_TYPES = ["auto", "full", "diff", "incr"] as const;
export type RequestedBackupType = (typeof BACKUP_TYPES)[number];

const RESOURCES = {
  cpuRequest: ["requests", "cpu"],
  memoryRequest: ["requests", "memory"],
  cpuLimit: ["limits", "cpu"],
  memoryLimit: ["limits", "memory"],
} as const;
const KNOWN = [
  "stanza",
  "configMap",
  "bundle",
  "image",
  "runtimeImage",
  "runtime",
  "runtimeUrl",
  "secretConf",
  "reportPassword",
  "claims",
  "backupType",
  "fullEveryDays",
  "repo",
  "newestWal",
  "repositoryTargetTime",
  ...Object.keys(RESOURCES),
];
const REPO_SECRET = /^(repo[1-9]\d{0,2})Secret(Keys)?$/;
/** `ACCESS_KEY_ID=minio/AWS_ACCESS_KEY_ID` */
const SECRET_FILE = /^([-._a-zA-Z0-9]+)=(.*)$/s;
const SHA256 = /^[0-9a-f]{64}$/;
/** Without a path. Plain HTTP: the digest of `runtime` proves what is fetched, and nothing of it is secret. */
const RUNTIME_URL = /^http:\/\/([-a-z0-9.]+|\[[0-9a-f:]+\]):[1-9]\d{0,4}$/;
const FULL_EVERY_DAYS = 7;
/** A segment, or one with the position where its streamed part ends: `000000010000000000000005@0/5123456`. */
const NEWEST_WAL = /^[0-9A-F]{24}(@[0-9A-F]{1,8}\/[0-9A-F]{1,8})?$/;

/** @throws optionInvalid, optionInvalidValue, optionRequired, with the parameter's name */
export function readParameters(
  given: Parameters,
  defaults: { readonly clusterName: string; readonly image: string | undefined },
): PluginParameters {
  for (const name of Object.keys(given).sort()) {
    if (KNOWN.includes(name) || REPO_SECRET.test(name)) continue;
    const near = nearNames(name, [...KNOWN, ...secretNames(name)]);
    const all = `parameters are ${[...KNOWN, "repo1Secret or repo1SecretKeys, repo2Secret, …"].join(", ")}.`;
    throw fail("optionInvalid", `plugin parameter '${name}' is unknown`, {
      hint: near.length > 0 ? `did you mean ${near.join(" or ")}?` : all,
    });
  }
  const resources = { requests: {} as Record<string, string>, limits: {} as Record<string, string> };
  for (const [name, [kind, resource]] of Object.entries(RESOURCES))
    if (given[name] !== undefined) resources[kind][resource] = given[name];
  return {
    stanza: stanzaOf(given["stanza"] ?? defaults.clusterName),
    configMap: objectName(given, "configMap", "a ConfigMap with pgbackrest.conf"),
    ...programOf(given, defaults.image),
    secrets: secretsOf(given),
    secretConf: given["secretConf"] === undefined ? undefined : objectName(given, "secretConf", "a Secret"),
    reportPassword: given["reportPassword"] === undefined ? undefined : reportPasswordOf(given["reportPassword"]),
    claims: claimsOf(given["claims"] ?? ""),
    backupType: backupTypeOf("backupType", given["backupType"] ?? "auto"),
    fullEveryDays: daysOf(given["fullEveryDays"]),
    repoIndex: repoIndexOf(given["repo"]),
    newestWal: segmentOf(given["newestWal"]),
    repositoryTargetTime: pastOf(given),
    ...resources,
  };
}

/** Parameters of the repository that a wrong name begins with. */
function secretNames(name: string): string[] {
  const [repo = "repo1"] = /^repo[1-9]\d{0,2}/.exec(name) ?? [];
  return [`${repo}Secret`, `${repo}SecretKeys`];
}

/** The runtime in a ConfigMap or from the plugin, with an image of Node, or an image that contains both. */
function programOf(
  given: Parameters,
  defaultImage: string | undefined,
): Pick<PluginParameters, "bundle" | "image" | "runtime"> {
  const own = given["runtimeImage"];
  if (own !== undefined && own !== "") {
    refuseBeside(given, "runtimeImage", ["bundle", "image", "runtime", "runtimeUrl"]);
    return { bundle: undefined, image: own, runtime: undefined };
  }
  const image = given["image"] ?? defaultImage;
  if (image === undefined || image === "") throw required("image", "an image of Node by its digest");
  const sha256 = given["runtime"];
  const url = given["runtimeUrl"];
  if (sha256 !== undefined && !SHA256.test(sha256))
    throw invalid("runtime", sha256, "the SHA-256 of a runtime: 64 hexadecimal digits");
  if (url === undefined) {
    const bundle = objectName(given, "bundle", "the ConfigMap with the runtime, or give runtimeUrl or runtimeImage");
    return { bundle, image, runtime: sha256 === undefined ? undefined : { sha256, url: "" } };
  }
  refuseBeside(given, "runtimeUrl", ["bundle"]);
  if (sha256 === undefined) throw required("runtime", "the SHA-256 of what runtimeUrl serves");
  if (!RUNTIME_URL.test(url)) throw invalid("runtimeUrl", url, "http://HOST:PORT of the plugin");
  return { bundle: undefined, image, runtime: { sha256, url } };
}

function refuseBeside(given: Parameters, name: string, others: readonly string[]): void {
  const other = others.find((each) => given[each] !== undefined);
  if (other !== undefined) throw fail("optionInvalid", `plugin parameters '${name}' and '${other}' are both given`);
}

function secretsOf(given: Parameters): readonly RepoSecret[] {
  const repos = new Set(Object.keys(given).flatMap((name) => REPO_SECRET.exec(name)?.[1] ?? []));
  return [...repos]
    .sort((left, right) => Number(left.slice(4)) - Number(right.slice(4)))
    .map((repo) => {
      const keys = given[`${repo}SecretKeys`];
      if (keys === undefined) return { repo, name: objectName(given, `${repo}Secret`, "a Secret") };
      if (given[`${repo}Secret`] !== undefined)
        throw fail("optionInvalid", `plugin parameters '${repo}Secret' and '${repo}SecretKeys' are both given`);
      return { repo, files: filesOf(`${repo}SecretKeys`, keys) };
    });
}

/** Sorted by file, independent of the order given. */
function filesOf(name: string, text: string): { file: string; name: string; key: string }[] {
  const files = text.split(",").map((entry) => {
    const [, file = "", source = ""] = SECRET_FILE.exec(entry.trim()) ?? [];
    const ref = secretKeyOf(source);
    if (["", ".", ".."].includes(file) || ref === null)
      throw invalid(name, text, "FILE=secret/key, with commas between them");
    return { file, ...ref };
  });
  const twice = files.find(({ file }, index) => files.findIndex((other) => other.file === file) !== index);
  if (twice !== undefined) throw invalid(name, text, `each file once (${twice.file} occurs twice)`);
  return files.sort((left, right) => (left.file < right.file ? -1 : 1));
}

function reportPasswordOf(text: string): PluginParameters["reportPassword"] {
  const ref = secretKeyOf(text.trim());
  if (ref === null) throw invalid("reportPassword", text, "secret/key");
  return ref;
}

/** @throws optionInvalidValue */
export function backupTypeOf(name: string, text: string): RequestedBackupType {
  const type = BACKUP_TYPES.find((each) => each === text);
  if (type === undefined) throw invalid(name, text, BACKUP_TYPES.join(", "));
  return type;
}

/** `name,name`, sorted. */
function claimsOf(text: string): readonly string[] {
  const names = text.split(",").flatMap((name) => (name.trim() === "" ? [] : [name.trim()]));
  for (const name of names)
    if (!OBJECT_NAME.test(name)) throw invalid("claims", text, "names of claims, with commas between them");
  return [...new Set(names)].sort();
}

function daysOf(text: string | undefined): number {
  if (text === undefined) return FULL_EVERY_DAYS;
  if (!/^[1-9]\d{0,3}$/.test(text)) throw invalid("fullEveryDays", text, "a whole number of days");
  return Number(text);
}

function repoIndexOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,2}$/.test(text)) throw invalid("repo", text, "the key of one repository, as 2");
  return Number(text);
}

function segmentOf(text: string | undefined): string | undefined {
  if (text !== undefined && !NEWEST_WAL.test(text))
    throw invalid("newestWal", text, "the name of a WAL segment, as 000000010000000000000005@0/5123456 with its end");
  return text;
}

function pastOf(given: Parameters): string | undefined {
  const text = given["repositoryTargetTime"];
  if (text === undefined) return undefined;
  if (findTimeMs(text) === null) throw invalid("repositoryTargetTime", text, "a time as 2026-11-20T06:40:59Z");
  if (given["repo"] === undefined) throw required("repo", "the key of the repository to read as of that time");
  return text;
}

function stanzaOf(text: string): string {
  if (text === "" || text === "." || text === ".." || !/^[A-Za-z0-9][-A-Za-z0-9_.]*$/.test(text))
    throw invalid("stanza", text, "letters, digits, - _ .");
  return text;
}

function objectName(given: Parameters, name: string, what: string): string {
  const text = given[name];
  if (text === undefined || text === "") throw required(name, what);
  if (!OBJECT_NAME.test(text)) throw invalid(name, text, "the name of an object in the cluster's namespace");
  return text;
}

function required(name: string, what: string): Error {
  return fail("optionRequired", `plugin parameter '${name}' is required: ${what}`);
}

function invalid(name: string, text: string, allowed: string): Error {
  return fail("optionInvalidValue", `'${text}' is not allowed for plugin parameter '${name}'; allowed: ${allowed}`);
}
