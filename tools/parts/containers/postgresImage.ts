/**
 * An image of PostgreSQL for tests, made from Debian's packages, because no registry can be reached: with the account's
 * number, PGDATA, volume and entry script of the official images. It has no Perl, as Alpine's have none, and nothing
 * else that the server does without: engines import it in half the time.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { cached, sharedCacheFolder } from "../cache";
import type { Missing } from "../debian/debian";
import { makeDebianTree } from "../debian/debianTree";
import { runOk } from "../process";
import type { ContainerEngine } from "./engine";

/** Its name in the engines. */
export const IMAGE = "postgres";
/** The file in its folder. */
export const IMAGE_FILE = "image.tar";

/** Debian bookworm's. */
export const IMAGE_MAJOR = 15;
export const IMAGE_DATA = "/var/lib/postgresql/data";
/** PostgreSQL's account in the images. */
export const IMAGE_UID = 999;

const PACKAGES = [`postgresql-${IMAGE_MAJOR}`, "gosu"];

const ENTRY = `#!/bin/sh
set -e
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  chown -R postgres:postgres "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  chmod 2777 /var/run/postgresql
  exec gosu postgres "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username="\${POSTGRES_USER:-postgres}" --auth-local=trust --auth-host=scram-sha-256 $POSTGRES_INITDB_ARGS
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
fi
exec "$@"
`;

const AFTER = `#!/bin/sh
set -e
rm -f "$1/etc/dpkg/dpkg.cfg.d/fast"
old=$(chroot "$1" id -u postgres)
chroot "$1" groupmod -g ${IMAGE_UID} postgres
chroot "$1" usermod -u ${IMAGE_UID} -g ${IMAGE_UID} postgres
find "$1" -xdev -uid "$old" -exec chown -h ${IMAGE_UID}:${IMAGE_UID} {} +
rm -rf "$1"/var/lib/postgresql/* "$1"/etc/postgresql/* "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*
cat > "$1/usr/local/bin/docker-entrypoint.sh" <<'END'
${ENTRY}END
chmod 755 "$1/usr/local/bin/docker-entrypoint.sh"
`;

/** What the server does without. */
const DROPPED =
  "usr/bin/perl* usr/lib/*/perl* usr/lib/*/libperl* usr/share/perl* " +
  "usr/share/doc usr/share/man usr/share/i18n usr/share/locale " +
  "usr/lib/apt usr/lib/*/libapt* var/lib/dpkg var/cache/debconf";

/** The folder with its file, or what this machine lacks. It is made once, in a minute. */
export async function findImage(): Promise<string | Missing> {
  const key = createHash("sha256")
    .update([...PACKAGES, AFTER, DROPPED].join("\n"))
    .digest("hex")
    .slice(0, 12);
  const folder = join(sharedCacheFolder(), `postgres-image-${key}`);
  try {
    return existsSync(folder) ? folder : await cached(folder, build);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { missing: `unable to make an image of PostgreSQL: ${reason}` };
  }
}

/** What an import adds to the files. */
export const IMAGE_CHANGES = [
  `ENV PATH=/usr/lib/postgresql/${IMAGE_MAJOR}/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  `ENV PGDATA=${IMAGE_DATA}`,
  `ENV PG_MAJOR=${IMAGE_MAJOR}`,
  `VOLUME ${IMAGE_DATA}`,
  'ENTRYPOINT ["docker-entrypoint.sh"]',
  'CMD ["postgres"]',
] as const;

/** Another image with the same files. */
export const NEXT_IMAGE = `${IMAGE}:next`;

/** Adds one to an engine; null, or what this machine lacks. */
export async function importImage(
  engine: ContainerEngine,
  image: typeof IMAGE | typeof NEXT_IMAGE = IMAGE,
): Promise<null | Missing> {
  const folder = await findImage();
  if (typeof folder !== "string") return folder;
  await engine.import(join(folder, IMAGE_FILE), image, [...IMAGE_CHANGES, `LABEL image=${image}`]);
  return null;
}

async function build(scratch: string): Promise<void> {
  await makeDebianTree({ suite: "bookworm", packages: PACKAGES, after: AFTER }, scratch);
  const root = join(scratch, "root");
  await runOk("sh", ["-c", `cd "$1" && rm -rf ${DROPPED}`, "sh", root]);
  await runOk("tar", ["-C", root, "--numeric-owner", "-cf", join(scratch, IMAGE_FILE), "."]);
  await runOk("rm", ["-rf", root]);
}
