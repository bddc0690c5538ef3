/** Distributions that PostgreSQL can be installed on: which one a host has, and where a version of PostgreSQL comes from there. Pure. */

export interface Distribution {
  /** `debian` */
  readonly id: string;
  /** `13` */
  readonly version: string;
  /** `trixie` */
  readonly codename: string;
  /** For messages: `Debian GNU/Linux 13 (trixie)`. */
  readonly title: string;
}

/** Where packages come from: the distribution's own archive, or that of PostgreSQL's project. */
export type PackageSource = "distribution" | "pgdg";

interface Supported {
  readonly id: string;
  readonly version: string;
  readonly codename: string;
  /** Major version that its own archive has. */
  readonly postgres: number;
}

const SUPPORTED: readonly Supported[] = [
  { id: "debian", version: "12", codename: "bookworm", postgres: 15 },
  { id: "debian", version: "13", codename: "trixie", postgres: 17 },
  { id: "ubuntu", version: "22.04", codename: "jammy", postgres: 14 },
  { id: "ubuntu", version: "24.04", codename: "noble", postgres: 16 },
];
/** Major versions that apt.postgresql.org has for each of them. */
const PGDG = { oldest: 14, newest: 18 } as const;

/** Of the text of `/etc/os-release` (os-release(5)); fields that are missing are empty. */
export function distributionOf(osRelease: string): Distribution {
  const field = (name: string): string =>
    new RegExp(`^${name}=(?:"([^"]*)"|'([^']*)'|(.*))$`, "m")
      .exec(osRelease)
      ?.slice(1)
      .find((value) => value !== undefined) ?? "";
  const id = field("ID");
  return { id, version: field("VERSION_ID"), codename: field("VERSION_CODENAME"), title: field("PRETTY_NAME") || id || "an unknown system" };
}

/** @throws Error for a distribution, or a version of PostgreSQL, that nothing is known of */
export function sourceOf(distribution: Distribution, major: number, hostName: string): PackageSource {
  const found = SUPPORTED.find(({ id, version }) => id === distribution.id && version === distribution.version);
  if (found === undefined) {
    throw new Error(
      `${hostName} is ${distribution.title}, on which PostgreSQL is not installed: Debian 12 and 13 and Ubuntu 22.04 and 24.04 are supported; ` +
        `install PostgreSQL ${major} yourself and leave postgres.install out`,
    );
  }
  if (found.postgres === major) return "distribution";
  if (Number.isInteger(major) && major >= PGDG.oldest && major <= PGDG.newest) return "pgdg";
  throw new Error(
    `there is no PostgreSQL ${major} for ${distribution.title}: its own archive has ${found.postgres}, apt.postgresql.org has ${PGDG.oldest} to ${PGDG.newest}`,
  );
}
