/**
 * Where each part of a backup goes on this machine, and where its bytes are: pure, from the manifests and the restore's
 * options.
 *
 * Maps and links follow stock's rules ("pgbackrest-format" 17, steps 4 and 6; pgBackRest 2.60 "command/restore/remap").
 * Tablespaces keep their links. Other links become plain directories and files unless requested. `--link-map` may also
 * turn a plain entry into a link. Errors: tablespaceMap (76), linkMap (78), linkDestination (70).
 */
import { dirname, resolve } from "node:path";
import { fail } from "../../base/errors";
import { findBlockSource } from "../../format/repository/blockSource";
import { viewsOf } from "../../format/repository/fileRows";
import type {
  FileList,
  FileView,
  Manifest,
  ManifestFile,
  ManifestTarget,
  OwnerName,
} from "../../format/repository/manifest";
import { bundlePath, dataFilePath } from "../../format/repository/repoPath";
import type { ServerView } from "../../postgres/container/serverPaths";
import type { RestoreSource } from "./restoreFile";

export interface RemapOptions {
  readonly dataDirectory: string;
  /** Tablespace name or oid → directory. */
  readonly tablespaceMap: Readonly<Record<string, string>>;
  /** Parent directory for all tablespaces that are not in the map. */
  readonly tablespaceMapAll: string | undefined;
  /** Path relative to the data directory → destination. */
  readonly linkMap: Readonly<Record<string, string>>;
  readonly linkAll: boolean;
  /** How a server in a container calls its paths. Default: as this machine does. */
  readonly view?: ServerView | undefined;
}

export interface PlannedLink {
  /** Absolute path of the link. */
  readonly path: string;
  /** The link's target, as the server calls it; may be relative to the link's directory. */
  readonly destination: string;
  /** The link's target on this machine. */
  readonly location: string;
  readonly isFile: boolean;
  /** The user named the destination. */
  readonly isMapped: boolean;
  readonly user: OwnerName;
  readonly group: OwnerName;
}

type LinkTarget = Pick<PlannedLink, "destination" | "isFile" | "isMapped">;

/** The target of a link at `path` in the data directory, on this machine. */
export function locationOf(
  path: string,
  destination: string,
  { dataDirectory, view }: Pick<RemapOptions, "dataDirectory" | "view">,
): string {
  if (view === undefined) return resolve(dirname(path), destination);
  return view.here(resolve(dirname(`${view.dataDirectory}${path.slice(dataDirectory.length)}`), destination));
}

export interface RestoreLayout {
  readonly dataDirectory: string;
  /** As in {@link RemapOptions}. */
  readonly view?: ServerView | undefined;
  /**
   * Absolute directories that the restore fills, the data directory first. Each must be empty unless the restore may
   * overwrite. Of a tablespace only this PostgreSQL version's directory: another version may have its own next to it.
   */
  readonly roots: readonly string[];
  /**
   * Where the link of each root except the data directory leads: the root itself, or for a tablespace its parent
   * directory.
   */
  readonly linkTargets: ReadonlyMap<string, string>;
  readonly links: readonly PlannedLink[];
  /** What goes to another location than before, one line each. */
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
  /** Absolute path of a manifest name. */
  locate(name: string): string;
}

/** Parts of a manifest that decide where its files go. */
type LaidOut = Pick<Manifest, "targets" | "paths" | "links" | "files">;

/**
 * @throws tablespaceMap (76), linkMap (78) for map entries that match nothing in this backup; linkDestination (70) for
 * links that overlap or lead to a directory that no cluster may use
 */
export function planLayout(manifest: LaidOut, options: RemapOptions): RestoreLayout {
  const plan = new LayoutPlan(manifest, options);
  const base = manifest.targets.find((target) => target.name === DATA);
  if (base !== undefined && base.path !== (options.view?.dataDirectory ?? options.dataDirectory))
    plan.notes.push(`remap data directory to '${options.dataDirectory}'`);
  requireKnownTablespaces(manifest, options);
  for (const target of manifest.targets)
    if (target.type === "link" && target.tablespaceId !== undefined) plan.addTablespace(target);
  const linked = new Set<string>();
  for (const target of manifest.targets) {
    if (target.type !== "link" || target.tablespaceId !== undefined) continue;
    plan.addLink(target);
    linked.add(target.name);
  }
  for (const [inData, destination] of Object.entries(options.linkMap))
    if (!linked.has(`${DATA}/${inData}`)) plan.addNewLink(inData, destination);
  requireSeparate(plan.links, options.dataDirectory);
  const { links, notes, warnings, locations, linkTargets } = plan;
  const { dataDirectory, view } = options;
  return {
    dataDirectory,
    view,
    roots: [dataDirectory, ...linkTargets.keys()],
    linkTargets,
    links,
    notes,
    warnings,
    locate: (name) => locate(locations, name),
  };
}

const DATA = "pg_data";

class LayoutPlan {
  readonly locations: Map<string, string>;
  readonly linkTargets = new Map<string, string>();
  readonly links: PlannedLink[] = [];
  readonly notes: string[] = [];
  readonly warnings: string[] = [];
  readonly #manifest: LaidOut;
  readonly #options: RemapOptions;

  constructor(manifest: LaidOut, options: RemapOptions) {
    this.#manifest = manifest;
    this.#options = options;
    this.locations = new Map([[DATA, options.dataDirectory]]);
  }

  addTablespace(target: ManifestTarget): void {
    const destination = tablespaceDestination(target, this.#options);
    if (destination !== target.path) this.notes.push(`map tablespace '${target.name}' to '${destination}'`);
    else
      requireOwnLocation(
        destination,
        `tablespace '${target.name}'`,
        `--tablespace-map=${target.tablespaceId}=<directory>`,
      );
    const absolute = this.#link(target.name, `pg_tblspc/${target.tablespaceId}`, {
      destination,
      isFile: false,
      isMapped: destination !== target.path,
    });
    for (const path of this.#manifest.paths) {
      const [, , directory, ...deeper] = path.name.split("/");
      if (path.name.startsWith(`${target.name}/`) && directory !== undefined && deeper.length === 0)
        this.linkTargets.set(`${absolute}/${directory}`, absolute);
    }
  }

  addLink(target: ManifestTarget): void {
    const isFile = target.file !== undefined;
    if (!target.name.startsWith(`${DATA}/`)) {
      this.warnings.push(
        `link '${target.name}' in a tablespace will be restored as a ${isFile ? "file" : "directory"} at the same location`,
      );
      return;
    }
    const inData = target.name.slice(DATA.length + 1);
    const mapped = ofMap(this.#options.linkMap, inData);
    if (mapped === undefined && !this.#options.linkAll) {
      this.warnings.push(
        isFile
          ? `file link '${inData}' will be restored as a file at the same location`
          : `contents of directory link '${inData}' will be restored in a directory at the same location`,
      );
      return;
    }
    if (mapped !== undefined) this.notes.push(`map link '${inData}' to '${mapped}'`);
    if (mapped !== undefined && isFile) requireFileDestination(inData, mapped);
    const destination = mapped ?? (isFile ? `${target.path}/${target.file}` : target.path);
    if (mapped === undefined) {
      const location = locationOf(`${this.#options.dataDirectory}/${inData}`, destination, this.#options);
      requireOwnLocation(location, `link '${inData}'`, `--link-map=${inData}=<path>`);
    }
    this.#addLinkTarget(target.name, inData, { destination, isFile, isMapped: mapped !== undefined });
  }

  /** @throws linkMap when the backup has no directory or file of that name */
  addNewLink(inData: string, destination: string): void {
    const name = `${DATA}/${inData}`;
    const isFile = this.#manifest.files.some((file) => file.name === name);
    if (!isFile && !this.#manifest.paths.some((path) => path.name === name)) {
      throw fail("linkMap", `unable to map link '${inData}'`, {
        hint: "Does the link reference a valid backup path or file?",
      });
    }
    if (isFile) requireFileDestination(inData, destination);
    this.notes.push(`link '${inData}' to '${destination}'`);
    this.#addLinkTarget(name, inData, { destination, isFile, isMapped: true });
  }

  #addLinkTarget(name: string, inData: string, link: LinkTarget): void {
    const absolute = this.#link(name, inData, link);
    if (!link.isFile) this.linkTargets.set(absolute, absolute);
  }

  #link(name: string, inData: string, link: LinkTarget): string {
    const path = `${this.#options.dataDirectory}/${inData}`;
    const location = locationOf(path, link.destination, this.#options);
    const row =
      this.#manifest.links.find((other) => other.name === `${DATA}/${inData}`) ??
      this.#manifest.paths.find((other) => other.name === DATA);
    this.links.push({ path, ...link, location, user: row?.user ?? null, group: row?.group ?? null });
    this.locations.set(name, location);
    return location;
  }
}

/** @throws tablespaceMap when one tablespace is mapped to different directories */
function tablespaceDestination(target: ManifestTarget, options: RemapOptions): string {
  const { tablespaceId = "", tablespaceName = "" } = target;
  const byName = ofMap(options.tablespaceMap, tablespaceName);
  const byId = ofMap(options.tablespaceMap, tablespaceId);
  if (byName !== undefined && byId !== undefined && byName !== byId)
    throw fail(
      "tablespaceMap",
      `tablespace remapped by name '${tablespaceName}' and id ${tablespaceId} with different paths`,
    );
  const mapped = byName ?? byId;
  if (mapped !== undefined) return mapped;
  if (options.tablespaceMapAll === undefined) return target.path;
  // A tablespace may have any name, even one that leads out of the directory.
  if (tablespaceName === "" || tablespaceName === "." || tablespaceName === ".." || tablespaceName.includes("/")) {
    throw fail(
      "tablespaceMap",
      `tablespace '${tablespaceName}' cannot be the name of a directory below '${options.tablespaceMapAll}'`,
      {
        hint: `name its directory with --tablespace-map=${tablespaceId}=<directory>.`,
      },
    );
  }
  return `${options.tablespaceMapAll}/${tablespaceName}`;
}

/** Names come from the manifest, and every object has "constructor". */
function ofMap(map: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}

/** Directories of the system, and those whose files root reads and obeys. */
const SYSTEM_DIRECTORIES =
  "/bin /boot /dev /etc /lib /lib32 /lib64 /libx32 /proc /root /run /sbin /sys /usr/bin /usr/include /usr/lib /usr/lib32 /usr/lib64 /usr/libexec " +
  "/usr/libx32 /usr/sbin /usr/share /usr/local/bin /usr/local/etc /usr/local/lib /usr/local/sbin /usr/local/share /var/run /var/spool";
/**
 * Exceptions below them: Debian's configuration belongs to the server's account, and shared memory is as open as /tmp.
 */
const OPEN_DIRECTORIES = ["/etc/postgresql", "/dev/shm"];
/** Shared directories: a cluster uses a directory below them. */
const SHARED_DIRECTORIES =
  "/ /home /media /mnt /opt /srv /tmp /usr /usr/local /var /var/backups /var/cache /var/lib /var/log /var/tmp";

/** The manifest alone must not choose such a directory; the user may name it. @throws linkDestination */
function requireOwnLocation(location: string, what: string, option: string): void {
  const at = resolve("/", location);
  const isOpen = OPEN_DIRECTORIES.some((directory) => at !== directory && isBelow(at, directory));
  const isSystem = SYSTEM_DIRECTORIES.split(" ").some((directory) => isBelow(at, directory));
  if (isOpen || (!isSystem && !SHARED_DIRECTORIES.split(" ").includes(at))) return;
  throw fail("linkDestination", `${what} points to '${at}', a directory of the system`, {
    hint: `The backup's manifest may be forged. Restore it elsewhere with ${option}, or set that option to this path if it is intended.`,
  });
}

function requireKnownTablespaces(manifest: LaidOut, options: RemapOptions): void {
  const known = new Set(manifest.targets.flatMap((target) => [target.tablespaceName, target.tablespaceId]));
  for (const name of Object.keys(options.tablespaceMap))
    if (!known.has(name)) throw fail("tablespaceMap", `unable to remap invalid tablespace '${name}'`);
}

function requireFileDestination(inData: string, destination: string): void {
  if (destination.includes("/") && !destination.endsWith("/")) return;
  throw fail("linkMap", `'${destination}' is not long enough to be the destination for file link '${inData}'`);
}

/** Links into the data directory or into each other would be filled and emptied twice. @throws linkDestination */
function requireSeparate(links: readonly PlannedLink[], dataDirectory: string): void {
  const placed = links.map((link) => ({
    name: link.path.slice(dataDirectory.length + 1),
    isFile: link.isFile,
    at: link.location,
  }));
  for (const [index, link] of placed.entries()) {
    if (isBelow(link.at, dataDirectory))
      throw fail("linkDestination", `link '${link.name}' destination '${link.at}' is in PGDATA`);
    if (isBelow(dataDirectory, link.at) || link.at === "/") {
      throw fail("linkDestination", `link '${link.name}' destination '${link.at}' is above PGDATA`, {
        hint: "restore it elsewhere with --tablespace-map or --link-map.",
      });
    }
    for (const other of placed.slice(index + 1)) {
      if (link.isFile !== other.isFile) continue;
      const what = link.isFile ? "file" : "directory";
      if (link.at === other.at)
        throw fail(
          "linkDestination",
          `link '${other.name}' (${other.at}) destination is the same ${what} as link '${link.name}' (${link.at})`,
        );
      if (link.isFile) continue;
      for (const [inner, outer] of [
        [link, other],
        [other, link],
      ] as const) {
        if (isBelow(inner.at, outer.at))
          throw fail(
            "linkDestination",
            `link '${inner.name}' (${inner.at}) destination is a subdirectory of link '${outer.name}' (${outer.at})`,
          );
      }
    }
  }
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

/** The longest mapped prefix wins: tablespaces and linked directories are elsewhere. */
function locate(locations: ReadonlyMap<string, string>, name: string): string {
  for (let end = name.length; end > 0; end = name.lastIndexOf("/", end - 1)) {
    const base = locations.get(name.slice(0, end));
    if (base !== undefined) return `${base}${name.slice(end)}`;
  }
  throw fail("format", `manifest row '${name}' belongs to no target`);
}

/** Where one repository holds a file's bytes, with its blocks if it is stored in blocks. */
export function sourceOf(repoIndex: number, stanza: string, manifest: Manifest, file: ManifestFile): RestoreSource {
  const block = findBlockSource(stanza, manifest, file);
  return { ...storedAt(repoIndex, stanza, manifest, file), ...(block === null ? {} : { block }) };
}

/** Where one repository holds a file's stored bytes, in whatever form. */
export function storedAt(repoIndex: number, stanza: string, manifest: Manifest, file: FileView): RestoreSource {
  const label = file.reference ?? manifest.label;
  const compressType = manifest.options.compressType;
  return {
    repoIndex,
    path:
      file.bundle === undefined
        ? dataFilePath(stanza, label, file, compressType)
        : bundlePath(stanza, label, file.bundle.id),
    range: file.bundle === undefined ? null : { offsetBytes: file.bundle.offsetBytes, sizeBytes: file.sizeRepoBytes },
    sizeRepoBytes: file.sizeRepoBytes,
    compressType,
    raw: file.bundle !== undefined && manifest.bundleRaw,
    cipherPass: manifest.cipherPass ?? null,
  };
}

export interface RestoreOrder {
  /** Files with a job each, the largest first. */
  readonly single: readonly ManifestFile[];
  /** Small files, several to a job, in the repository's order. Made one by one, because there may be a million rows. */
  readonly batches: Iterable<readonly ManifestFile[]>;
  /** Sum over all these files. */
  readonly sizeBytes: number;
}

export const BATCH_FILE_SIZE_BYTES_MAX = 128 * 1024;
const BATCH_SIZE_BYTES_MAX = 1024 * 1024;
const BATCH_FILES_MAX = 64;

/** Omits pg_control: it is written last, alone. */
export function restoreOrder({ files, label }: Pick<Manifest, "files" | "label">): RestoreOrder {
  const single: ManifestFile[] = [];
  const small = new Uint32Array(files.length);
  let smallCount = 0;
  let sizeBytes = 0;
  /** Labels that hold the files, the bundles (0 for a file of its own), and the offsets there, by position. */
  const labels: string[] = [];
  const bundleIds = new Float64Array(files.length);
  const offsets = new Float64Array(files.length);
  let index = -1;
  for (const file of viewsOf(files)) {
    index++;
    labels.push(file.reference ?? label);
    if (file.name === CONTROL_FILE || file.name === "pg_data/tablespace_map") continue;
    sizeBytes += file.sizeBytes;
    if (file.sizeBytes > BATCH_FILE_SIZE_BYTES_MAX) single.push(files.at(index) as ManifestFile);
    else small[smallCount++] = index;
    bundleIds[index] = file.bundle?.id ?? 0;
    offsets[index] = file.bundle?.offsetBytes ?? 0;
  }
  const order = small.subarray(0, smallCount).sort((left, right) => {
    const [own = "", other = ""] = [labels[left], labels[right]];
    if (own !== other) return own < other ? -1 : 1;
    const between = (numbers: Float64Array): number => (numbers[left] ?? 0) - (numbers[right] ?? 0);
    return between(bundleIds) || between(offsets) || left - right;
  });
  single.sort((left, right) => right.sizeBytes - left.sizeBytes);
  return { single, batches: batchesOf(files, order), sizeBytes };
}

function* batchesOf(files: FileList, order: Uint32Array): Iterable<readonly ManifestFile[]> {
  let batch: ManifestFile[] = [];
  let sizeBytes = 0;
  for (const index of order) {
    const file = files.at(index) as ManifestFile;
    if (batch.length === BATCH_FILES_MAX || (batch.length > 0 && sizeBytes + file.sizeBytes > BATCH_SIZE_BYTES_MAX)) {
      yield batch;
      batch = [];
      sizeBytes = 0;
    }
    batch.push(file);
    sizeBytes += file.sizeBytes;
  }
  if (batch.length > 0) yield batch;
}

export const CONTROL_FILE = "pg_data/global/pg_control";
