/**
 * The CycloneDX list of what a user gets: the packages that npm installs with this one, and those inside of
 * dist/runtime.cjs. `npm sbom --omit=dev` has neither the second kind nor what is a peer of a tool as well, such as
 * Pulumi's SDK: so the whole list is filtered.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { runtimeBundle } from "../parts/build/build";
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

/**
 * Keeps what users get.
 * @param installed names of the package's dependencies
 * @param bundled `name@version` of the packages in the runtime's file
 */
export function shippedParts(
  whole: Sbom,
  name: string,
  installed: readonly string[],
  bundled: readonly string[],
): Sbom {
  const byRef = new Map(whole.components.map((part) => [part["bom-ref"], part]));
  const links = new Map(whole.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
  const root = whole.metadata.component;
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

/** `name@version` of each package in the runtime's file. */
export async function bundledPackages(root: string): Promise<readonly string[]> {
  // Without the plugins: what the file keeps as text is then a part like any other.
  const { metafile } = await build({
    ...runtimeBundle(root),
    plugins: [],
    loader: { ".proto": "empty" },
    metafile: true,
    write: false,
  });
  const folders = Object.keys(metafile.inputs).flatMap(
    (path) => /^(.*\bnode_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [],
  );
  return [...new Set(folders)].toSorted().map((folder) => {
    const { name, version } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")) as {
      readonly name: string;
      readonly version: string;
    };
    return `${name}@${version}`;
  });
}

export async function makeSbom(root: string): Promise<Sbom> {
  const text = await runOk("npm", ["sbom", "--sbom-format=cyclonedx", "--package-lock-only"], { cwd: root });
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly name: string;
    readonly dependencies: Readonly<Record<string, string>>;
  };
  const installed = Object.keys(manifest.dependencies);
  return shippedParts(JSON.parse(text) as Sbom, manifest.name, installed, await bundledPackages(root));
}
