/**
 * Distributions that can have PostgreSQL installed: recognises a host's distribution and selects the source of a
 * version of PostgreSQL. Pure.
 */

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

/** Source of packages: the distribution's own archive, or the PostgreSQL project's. */
export type PackageSource = "distribution" | "pgdg";

interface Supported {
  readonly id: string;
  readonly version: string;
  readonly codename: string;
  /** Major version in its own archive. */
  readonly postgres: number;
}

const SUPPORTED: readonly Supported[] = [
  { id: "debian", version: "12", codename: "bookworm", postgres: 15 },
  { id: "debian", version: "13", codename: "trixie", postgres: 17 },
  { id: "ubuntu", version: "22.04", codename: "jammy", postgres: 14 },
  { id: "ubuntu", version: "24.04", codename: "noble", postgres: 16 },
];
/** Released major versions of apt.postgresql.org for each of them. */
const PGDG = { oldest: 14, newest: 18 } as const;

/** Parses `/etc/os-release` (os-release(5)); missing fields are empty. */
export function distributionOf(osRelease: string): Distribution {
  const field = (name: string): string =>
    new RegExp(`^${name}=(?:"([^"]*)"|'([^']*)'|(.*))$`, "m")
      .exec(osRelease)
      ?.slice(1)
      .find((value) => value !== undefined) ?? "";
  const id = field("ID");
  return {
    id,
    version: field("VERSION_ID"),
    codename: field("VERSION_CODENAME"),
    title: field("PRETTY_NAME") || id || "an unknown system",
  };
}

/** @throws Error for an unknown distribution or version of PostgreSQL */
export function sourceOf(distribution: Distribution, major: number, hostName: string): PackageSource {
  const supported = SUPPORTED.find(({ id, version }) => id === distribution.id && version === distribution.version);
  if (supported === undefined) {
    throw new Error(
      `pgbackstop does not install PostgreSQL on ${distribution.title} (${hostName}): Debian 12 and 13 and Ubuntu 22.04 and 24.04 are supported; ` +
        `install PostgreSQL ${major} yourself and leave postgres.install out`,
    );
  }
  if (supported.postgres === major) return "distribution";
  if (Number.isInteger(major) && major >= PGDG.oldest && major <= PGDG.newest) return "pgdg";
  throw new Error(
    `there is no PostgreSQL ${major} for ${distribution.title}: its archive has ${supported.postgres}, apt.postgresql.org has ${PGDG.oldest} to ${PGDG.newest}; ` +
      `install another version yourself and leave postgres.install out`,
  );
}
