/** Where everything of a backup goes on this machine, and where its bytes are: pure, from the manifests and the restore's options. */
import { fail } from "../../base/errors";
import type { Manifest, ManifestFile, ManifestTarget } from "../../format/manifest";
import { bundlePath, dataFilePath } from "../../format/repoPath";
import type { RestoreSource } from "./restoreFile";

export interface RemapOptions {
  readonly dataDirectory: string;
  /** Tablespace name or oid → directory. */
  readonly tablespaceMap: Readonly<Record<string, string>>;
  /** Parent directory for all tablespaces that are not in the map. */
  readonly tablespaceMapAll: string | undefined;
  /** Link name relative to the data directory → directory. */
  readonly linkMap: Readonly<Record<string, string>>;
  readonly linkAll: boolean;
}

export interface PlannedLink {
  /** Absolute path of the link. */
  readonly path: string;
  readonly destination: string;
}

export interface RestoreLayout {
  readonly dataDirectory: string;
  /** Absolute directories that the restore fills, the data directory first; each must be empty unless the restore is a delta. */
  readonly roots: readonly string[];
  readonly links: readonly PlannedLink[];
  readonly warnings: readonly string[];
  /** Absolute path of a manifest name. */
  locate(name: string): string;
}

/** @throws tablespaceMap (76), linkMap (78) for maps that name nothing in this backup */
export function planLayout(manifest: Manifest, options: RemapOptions): RestoreLayout {
  const warnings: string[] = [];
  const locations = new Map<string, string>([["pg_data", options.dataDirectory]]);
  const links: PlannedLink[] = [];
  const roots = [options.dataDirectory];
  requireKnownMaps(manifest, options);
  for (const target of manifest.targets) {
    if (target.type !== "link") continue;
    if (target.tablespaceId !== undefined) {
      const destination = tablespaceDestination(target, options);
      locations.set(target.name, destination);
      roots.push(destination);
      links.push({ path: `${options.dataDirectory}/pg_tblspc/${target.tablespaceId}`, destination });
      continue;
    }
    const inData = target.name.slice("pg_data/".length);
    const mapped = options.linkMap[inData];
    if (mapped === undefined && !options.linkAll) {
      const kind = target.file === undefined ? "directory" : "file";
      warnings.push(`contents of ${kind} link '${inData}' will be restored as a ${kind} at the same location`);
      continue;
    }
    const destination = mapped ?? (target.file === undefined ? target.path : `${target.path}/${target.file}`);
    links.push({ path: `${options.dataDirectory}/${inData}`, destination });
    locations.set(target.name, destination);
    if (target.file === undefined) roots.push(destination);
  }
  return { dataDirectory: options.dataDirectory, roots, links, warnings, locate: (name) => locate(locations, name) };
}

function tablespaceDestination(target: ManifestTarget, options: RemapOptions): string {
  const { tablespaceId = "", tablespaceName = "" } = target;
  const mapped = options.tablespaceMap[tablespaceName] ?? options.tablespaceMap[tablespaceId];
  if (mapped !== undefined) return mapped;
  return options.tablespaceMapAll === undefined ? target.path : `${options.tablespaceMapAll}/${tablespaceName}`;
}

function requireKnownMaps(manifest: Manifest, options: RemapOptions): void {
  const tablespaces = new Set(manifest.targets.flatMap((target) => [target.tablespaceName, target.tablespaceId]));
  for (const name of Object.keys(options.tablespaceMap))
    if (!tablespaces.has(name)) throw fail("tablespaceMap", `unable to remap invalid tablespace '${name}'`);
  const links = new Set(manifest.targets.filter((target) => target.type === "link").map((target) => target.name));
  for (const name of Object.keys(options.linkMap)) if (!links.has(`pg_data/${name}`)) throw fail("linkMap", `unable to remap invalid link '${name}'`);
}

/** The longest mapped prefix wins: tablespaces and linked directories lie elsewhere. */
function locate(locations: ReadonlyMap<string, string>, name: string): string {
  for (let end = name.length; end > 0; end = name.lastIndexOf("/", end - 1)) {
    const base = locations.get(name.slice(0, end));
    if (base !== undefined) return `${base}${name.slice(end)}`;
  }
  throw fail("format", `manifest row '${name}' belongs to no target`);
}

/** Where one repository holds the bytes of a file that can be restored. @throws featureNotSupported (67) for block incremental files */
export function sourceOf(repoKey: number, stanza: string, manifest: Manifest, file: ManifestFile): RestoreSource {
  if (file.block !== undefined && file.block.mapSizeBytes > 0) {
    throw fail("featureNotSupported", `'${file.name}' of backup ${manifest.label} is stored as a block incremental, which this version cannot read`, {
      hint: "restore this backup with stock pgBackRest 2.46 or newer.",
      repoKey,
    });
  }
  return storedAt(repoKey, stanza, manifest, file);
}

/** Where one repository holds the stored bytes of a file, whatever they mean. */
export function storedAt(repoKey: number, stanza: string, manifest: Manifest, file: ManifestFile): RestoreSource {
  const label = file.reference ?? manifest.label;
  const compressType = manifest.options.compressType;
  return {
    repoKey,
    path: file.bundle === undefined ? dataFilePath(stanza, label, file, compressType) : bundlePath(stanza, label, file.bundle.id),
    range: file.bundle === undefined ? null : { offsetBytes: file.bundle.offsetBytes, sizeBytes: file.sizeRepoBytes },
    sizeRepoBytes: file.sizeRepoBytes,
    compressType,
    raw: file.bundle !== undefined && manifest.bundleRaw,
    cipherPass: manifest.cipherPass ?? null,
  };
}

/** Large files first; pg_control is not among them: it is written last, by itself. */
export function restoreOrder(files: readonly ManifestFile[]): ManifestFile[] {
  return files
    .filter((file) => file.name !== CONTROL_FILE && file.name !== "pg_data/tablespace_map")
    .sort((left, right) => right.sizeBytes - left.sizeBytes);
}

export const CONTROL_FILE = "pg_data/global/pg_control";
