/**
 * What `docker inspect` and `podman inspect` say of a container, as far as a backup needs it. Pure: both engines write
 * nearly the same JSON.
 */
import { isFields } from "../../base/declaredTypes";
import { fail } from "../../base/errors";
import { isArray, type JsonObject, type JsonValue, tryParseJson } from "../../format/repository/json";

export interface ContainerMount {
  readonly kind: "volume" | "bind" | "tmpfs";
  /** Path on this machine; empty for a tmpfs. */
  readonly source: string;
  /** Path in the container. */
  readonly destination: string;
  /** Name of a volume. */
  readonly volume?: string;
  /** Driver of a volume, such as `local`. */
  readonly driver?: string;
  /** The container cannot write there. */
  readonly readOnly?: true;
}

/**
 * `down`: nothing of it runs until somebody starts it. `restarting`: it has ended, and the engine starts it again.
 * `paused`: its processes are frozen, and go on where they stopped.
 */
export type ContainerState = "down" | "paused" | "restarting" | "running";

export interface ContainerFacts {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  /** Digest of the image. */
  readonly imageId: string;
  readonly state: ContainerState;
  /** First process on this machine; null if it has none, also between two starts. */
  readonly pid: number | null;
  readonly mounts: readonly ContainerMount[];
  readonly environment: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

const isObject = (value: JsonValue): value is JsonObject => isFields(value);

/** Engines name a volume by a random number if nobody else does. */
const ANONYMOUS = /^[0-9a-f]{64}$/;

/** @throws format (29) for other text than a list of containers */
export function parseInspect(text: string): ContainerFacts[] {
  const value = tryParseJson(text);
  if (value === undefined || !isArray(value) || !value.every(isObject))
    throw fail("format", `the container engine's answer is no list of containers: ${text.slice(0, 200).trim()}`);
  return value.map(parseContainer);
}

function parseContainer(container: JsonObject): ContainerFacts {
  const state = objectAt(container, "State");
  const config = objectAt(container, "Config");
  const own = stateOf(state);
  const pid = Number(state["Pid"] ?? 0);
  const mounts = listAt(container, "Mounts").filter(isObject).map(parseMount);
  // `--tmpfs` is not among the mounts.
  const tmpfs = Object.keys(objectAt(objectAt(container, "HostConfig"), "Tmpfs"));
  return {
    id: textAt(container, "Id"),
    name: textAt(container, "Name").replace(/^\//, ""),
    image: textAt(config, "Image"),
    imageId: textAt(container, "Image"),
    state: own,
    pid: own !== "down" && pid > 0 ? pid : null,
    mounts: [
      ...mounts,
      ...tmpfs
        .filter((path) => !mounts.some(({ destination }) => destination === path))
        .map((path): ContainerMount => ({ kind: "tmpfs", source: "", destination: trimmed(path) })),
    ],
    environment: environmentOf(listAt(config, "Env")),
    labels: textsOf(objectAt(config, "Labels")),
  };
}

/** Docker's `removing` and Podman's `stopping` may still have processes. */
const DOWN: ReadonlySet<string> = new Set(["", "created", "configured", "exited", "stopped", "dead"]);

/** Docker's Running is true of a paused and of a restarting container, Podman's of neither. */
function stateOf(state: JsonObject): ContainerState {
  const status = textAt(state, "Status").toLowerCase();
  if (state["Paused"] === true || status === "paused") return "paused";
  if (state["Restarting"] === true || status === "restarting") return "restarting";
  return state["Running"] === true || !DOWN.has(status) ? "running" : "down";
}

function parseMount(mount: JsonObject): ContainerMount {
  const type = textAt(mount, "Type");
  const kind = type === "volume" || type === "tmpfs" ? type : "bind";
  const [volume, driver] = [textAt(mount, "Name"), textAt(mount, "Driver")];
  return {
    kind,
    source: kind === "tmpfs" ? "" : trimmed(textAt(mount, "Source")),
    destination: trimmed(textAt(mount, "Destination")),
    ...(kind === "volume" && volume !== "" ? { volume } : {}),
    ...(kind === "volume" && driver !== "" ? { driver } : {}),
    ...(mount["RW"] === false ? { readOnly: true as const } : {}),
  };
}

function environmentOf(lines: readonly JsonValue[]): Record<string, string> {
  const pairs = lines.flatMap((line): [string, string][] => {
    if (typeof line !== "string") return [];
    const at = line.indexOf("=");
    return at <= 0 ? [] : [[line.slice(0, at), line.slice(at + 1)]];
  });
  return Object.fromEntries(pairs);
}

function textsOf(object: JsonObject): Record<string, string> {
  return Object.fromEntries(
    Object.entries(object).filter((pair): pair is [string, string] => typeof pair[1] === "string"),
  );
}

/** The superuser that the official images make. */
export function superuserOf({ environment }: Pick<ContainerFacts, "environment">): string {
  const user = environment["POSTGRES_USER"] ?? "";
  return user === "" ? "postgres" : user;
}

/** How the official images get that role's password; null for images or containers without one. */
export function passwordOf({
  environment,
}: Pick<ContainerFacts, "environment">): { readonly text: string } | { readonly file: string } | null {
  const [text = "", file = ""] = [environment["POSTGRES_PASSWORD"], environment["POSTGRES_PASSWORD_FILE"]];
  return text !== "" ? { text } : file !== "" ? { file } : null;
}

/** True for a volume that `down -v` or the container's removal may remove with it. */
export function isAnonymous({ volume }: Pick<ContainerMount, "volume">): boolean {
  return volume !== undefined && ANONYMOUS.test(volume);
}

/** True for images of PostgreSQL, which set either. */
export function isServer({ environment }: Pick<ContainerFacts, "environment">): boolean {
  return environment["PGDATA"] !== undefined || environment["PG_MAJOR"] !== undefined;
}

/** For messages; empty for a container that Compose did not make. */
export function serviceText({ labels }: Pick<ContainerFacts, "labels">): string {
  const service = labels["com.docker.compose.service"];
  const files = labels["com.docker.compose.project.config_files"] ?? "";
  return service === undefined ? "" : `service '${service}' of '${files}'`;
}

/**
 * Whether Compose made this container for a service of that file. `docker compose` writes absolute paths; others write
 * them relative to the project's directory.
 */
export function isOfService({ labels }: Pick<ContainerFacts, "labels">, file: string, service: string): boolean {
  if (labels["com.docker.compose.service"] !== service) return false;
  if (labels["com.docker.compose.oneoff"]?.toLowerCase() === "true") return false;
  const directory = labels["com.docker.compose.project.working_dir"] ?? "";
  const files = (labels["com.docker.compose.project.config_files"] ?? "").split(",");
  return files.some((path) => (path.startsWith("/") ? path : `${directory}/${path}`) === file);
}

function objectAt(object: JsonObject, key: string): JsonObject {
  const value = object[key];
  return value !== undefined && isObject(value) ? value : {};
}

function listAt(object: JsonObject, key: string): readonly JsonValue[] {
  const value = object[key];
  return value !== undefined && isArray(value) ? value : [];
}

function textAt(object: JsonObject, key: string): string {
  const value = object[key];
  return typeof value === "string" ? value : "";
}

/** Removes trailing slashes. */
function trimmed(path: string): string {
  return path.length > 1 ? path.replace(/\/+$/, "") : path;
}
