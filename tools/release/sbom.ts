/**
 * The CycloneDX list of what a user gets with a package: the packages that npm installs with it, and those inside of
 * its programs, such as dist/runtime.cjs. A peer has a list of its own. `npm sbom --omit=dev` has neither the second
 * kind nor what is a peer of a tool as well, such as Pulumi's SDK: so the whole list is filtered.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build, type BuildOptions } from "esbuild";
import { migrationBundles, runtimeBundle } from "../parts/build/build";
import { runOk } from "../parts/process";

interface Part {
  readonly "bom-ref": string;
  readonly name: string;
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
}

/** The fields of npm's document that are used here. */
export interface Sbom {
  readonly metadata: { readonly component: Part };
  readonly components: readonly Part[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

const DEVELOPMENT = "cdx:npm:package:development";
const isForDevelopment = ({ properties = [] }: Part): boolean => properties.some(({ name }) => name === DEVELOPMENT);

export interface PackageManifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
}

/**
 * Keeps what users get.
 * @param manifest of the project's own package, or of one of its workspaces
 * @param bundled `name@version` of the packages in the files of its programs
 */
export function shippedParts(
  whole: Sbom,
  { dependencies, name, version }: PackageManifest,
  bundled: readonly string[],
): Sbom {
  const installed = Object.keys(dependencies);
  const byRef = new Map(whole.components.map((part) => [part["bom-ref"], part]));
  const links = new Map(whole.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
  // npm calls the project and its workspaces like their folders.
  const root = [whole.metadata.component, ...whole.components].find((part) => part["bom-ref"] === `${name}@${version}`);
  if (root === undefined) throw new Error(`npm sbom lists no ${name}@${version}`);
  const shipped = new Set(bundled);
  const follow = (ref: string): void => {
    const part = byRef.get(ref);
    if (part === undefined || isForDevelopment(part) || shipped.has(ref)) return;
    shipped.add(ref);
    for (const next of links.get(ref) ?? []) follow(next);
  };
  const direct = (links.get(root["bom-ref"]) ?? []).filter((ref) => installed.includes(byRef.get(ref)?.name ?? ""));
  for (const ref of direct) follow(ref);
  const missing = [...bundled, ...installed].filter(
    (wanted) => !byRef.has(wanted) && !direct.some((ref) => byRef.get(ref)?.name === wanted),
  );
  if (missing.length > 0) throw new Error(`npm sbom lists no ${missing.join(", ")}`);
  const known = (refs: readonly string[]): string[] => refs.filter((ref) => shipped.has(ref));
  return {
    ...whole,
    metadata: { ...whole.metadata, component: { ...root, name } },
    components: whole.components
      .filter((part) => shipped.has(part["bom-ref"]))
      .map((part) => ({ ...part, properties: (part.properties ?? []).filter((each) => each.name !== DEVELOPMENT) })),
    dependencies: whole.dependencies
      .filter(({ ref }) => ref === root["bom-ref"] || shipped.has(ref))
      .map(({ ref, dependsOn }) => ({
        ref,
        dependsOn: ref === root["bom-ref"] ? [...new Set([...direct, ...bundled])] : known(dependsOn),
      })),
  };
}

/** `name@version` of each package in the files that esbuild makes with these options. */
export async function bundledPackages(root: string, bundles: readonly BuildOptions[]): Promise<readonly string[]> {
  const inputs = await Promise.all(
    bundles.map(async (bundle) => {
      // Without the plugins: what the file keeps as text is then a part like any other.
      const loader = { ".proto": "empty" } as const;
      const { metafile } = await build({ ...bundle, plugins: [], loader, metafile: true, write: false });
      return Object.keys(metafile.inputs);
    }),
  );
  const folders = inputs.flat().flatMap((path) => /^(.*\bnode_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []);
  return [...new Set(folders)].toSorted().map((folder) => {
    const { name, version } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")) as {
      readonly name: string;
      readonly version: string;
    };
    return `${name}@${version}`;
  });
}

/** The lists of the packages that a release publishes, by their names. */
export async function makeSboms(root: string): Promise<Readonly<Record<string, Sbom>>> {
  const text = await runOk("npm", ["sbom", "--sbom-format=cyclonedx", "--package-lock-only"], { cwd: root });
  const whole = JSON.parse(text) as Sbom;
  const bundles = { ".": [runtimeBundle(root)], "packages/migration": migrationBundles(root) };
  const lists = Object.entries(bundles).map(async ([folder, options]) => {
    const manifest = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")) as PackageManifest;
    return [manifest.name, shippedParts(whole, manifest, await bundledPackages(root, options))] as const;
  });
  return Object.fromEntries(await Promise.all(lists));
}
