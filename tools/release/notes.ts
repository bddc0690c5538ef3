/** What CHANGELOG.md says about a version, and what must be true before it is published. */

export interface Manifest {
  readonly version: string;
  readonly repository: { readonly url: string };
}

interface Section {
  /** After the version: a date or `unreleased`. */
  readonly state: string;
  readonly text: string;
}

/** @throws Error if there is no section of this version */
export function sectionOf(changelog: string, version: string): Section {
  const [, state = "", text = ""] =
    new RegExp(`^## ${version.replaceAll(".", "\\.")} \\(([^)]*)\\)\\n(.*?)(?=^## |(?![^]))`, "ms").exec(changelog) ??
    [];
  if (state === "") throw new Error(`CHANGELOG.md has no section "## ${version} (date)": write it`);
  return { state, text: text.trim() };
}

/** Why this version cannot be published; empty if it can. */
export function findObstacles(
  manifest: Manifest,
  state: string,
  published: { readonly tag?: string | undefined; readonly repository?: string | undefined },
): readonly string[] {
  const { tag, repository } = published;
  const [, named = ""] = /github\.com\/(.+)\.git$/.exec(manifest.repository.url) ?? [];
  return [
    ...(/^\d{4}-\d{2}-\d{2}$/.test(state) ? [] : [`CHANGELOG.md calls the version "${state}": write its date`]),
    ...(tag === undefined || tag === `v${manifest.version}`
      ? []
      : [`the tag is ${tag}, but package.json has ${manifest.version}: npm version and the tag must agree`]),
    ...(named.startsWith("__") ? [`package.json names ${named}: write the owner of the repository`] : []),
    ...(repository === undefined || repository === named
      ? []
      : [`package.json names ${named}, but this is ${repository}: npm refuses a provenance from elsewhere`]),
  ];
}

export type ReleasePart = "a bare Debian" | "the image";

/** True if a run with a tag must make the part. Only root can make a bare Debian. */
export function mustHave(
  part: ReleasePart,
  { isRoot, tag }: { readonly isRoot: boolean; readonly tag?: string | undefined },
): boolean {
  return tag !== undefined && (part === "the image" || isRoot);
}

/** The commands that README begins with, for the tarball alongside them instead of the registry's package. */
export function firstCommands(readme: string, version: string): string {
  const [, block = ""] = /```sh\n([^]*?)```/.exec(readme) ?? [];
  const local = block.replace(/^npm install pgbackstop\b/m, `npm install ./pgbackstop-${version}.tgz`);
  if (local === block) throw new Error("README.md no longer begins with `npm install pgbackstop`");
  return local.trim();
}
