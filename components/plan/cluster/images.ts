/**
 * Default images, by digest, so that nothing changes unasked. A new version of this package may bring newer ones; each
 * cluster keeps its image until `postgresVersion` or `image` changes. Pure data, the newest of 31 August 2026. Sources:
 * the catalog "postgresql-standard-trixie" of CloudNativePG's project, and the official image of Node.js.
 */

export interface PostgresImage {
  readonly major: number;
  readonly version: string;
  readonly image: string;
}

/** CloudNativePG's images of type standard on Debian trixie, newest first. */
export const POSTGRES_IMAGES: readonly PostgresImage[] = [
  postgres(18, "18.6", "202608310817", "c2a773217853c6e0ffe7da9c37ea456466efb20cf844f27511a73fa6a81e3152"),
  postgres(17, "17.11", "202608310816", "0eea5ac8c5e3043db94f4d512ffcfb9c06d6270a97f6d56e9f08e1571ef0484e"),
  postgres(16, "16.15", "202608310817", "6fedafdbf8b5b241e94c0307783a4875525141b98c4cbb8ec8a0b4134e9545d6"),
  postgres(15, "15.19", "202608310817", "10c19625c4f43cd4f1cb04caf072a942853e10e510d96e9be656b3a7f0ad968a"),
  postgres(14, "14.24", "202608310817", "19fdf3596c337c9ae3725dbcec345e85f64e3097b1e0e375575bc6d53c3e4497"),
];

/** Major versions that the runtime supports. 19 has no image here before its release. */
export const SUPPORTED_MAJORS: readonly number[] = [14, 15, 16, 17, 18, 19];

/**
 * Node.js 24 on Debian, for the plugin and its sidecars: the bundle comes from a ConfigMap, so that no image of ours is
 * needed.
 */
export const NODE_IMAGE =
  "docker.io/library/node:24-slim@sha256:a9f5f7c91a432850b2a8a7797adf5eadb6c733ceed61167806cee7ea7fbc29df";

const DALIBO_VERSION = "0.0.3";
/** Images by plugin version, as its manifest names them. */
export const DALIBO_IMAGES = {
  controller: `docker.io/dalibo/cnpg-pgbackrest-controller:${DALIBO_VERSION}`,
  sidecar: `docker.io/dalibo/cnpg-pgbackrest-sidecar:${DALIBO_VERSION}`,
  exporter: `docker.io/dalibo/cnpg-pgbackrest-sidecar-exporter:${DALIBO_VERSION}`,
} as const;
export function findPostgresImage(major: number): PostgresImage | null {
  return POSTGRES_IMAGES.find((row) => row.major === major) ?? null;
}

/**
 * The major version at the start of a tag, as the operator reads it: 18 for `postgresql:18.6-standard-trixie@sha256:…`;
 * null for others.
 */
export function majorOf(image: string): number | null {
  const tag = /:([0-9]+)[^/]*$/.exec(image.split("@")[0] ?? "")?.[1];
  return tag === undefined ? null : Number(tag);
}

function postgres(major: number, version: string, built: string, digest: string): PostgresImage {
  return {
    major,
    version,
    image: `ghcr.io/cloudnative-pg/postgresql:${version}-${built}-standard-trixie@sha256:${digest}`,
  };
}
