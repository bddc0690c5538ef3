/** A command in a pod beside a Cluster of CloudNativePG: production is behind its Service, with its Secrets' login. */
import type { Context } from "../../base/context";
import { mkdtemp, rm, writeFile } from "../../local/nodeFiles";
import type { ExtractDeps } from "../../operations/extract/extract";
import {
  openThroughService,
  serviceCaFile,
  serviceLogin,
  type ServiceLogin,
  type ServiceRequest,
} from "../../postgres/clusterService";
import type { CommandProcess } from "../../process/commandProcess";

/** Rows are counted and summed in one statement. */
const QUERY_TIMEOUT_MS = 86_400_000;
/** Memory of the pod: a password in it is never on a disk. */
const MEMORY = "/dev/shm";

/** Undefined for a server of this machine. */
export function serviceOf({ config, readFile }: CommandProcess, command: string): ServiceRequest | undefined {
  const { cluster, secretPath } = config.clusterDrill;
  if (cluster === undefined) return undefined;
  return { host: `${cluster}-rw`, secretPath, applicationName: `pgbackstop ${command}`, readFile };
}

/** Parts of an extraction that reach production; none without a service. */
export async function withService<T>(
  service: ServiceRequest | undefined,
  ctx: Context,
  use: (parts: Partial<ExtractDeps>) => Promise<T>,
): Promise<T> {
  if (service === undefined) return use({});
  return withLogin(service, ({ environment, isSuperuser, user }) => {
    ctx.log.info(`production: ${service.host} as ${user}${isSuperuser ? "" : ", which must own what comes back"}`);
    return use({
      isRemote: true,
      openProduction: (database) => openThroughService(service, database, QUERY_TIMEOUT_MS),
      psql: (side, args) => [...environment, ...side.command("psql", args)],
    });
  });
}

export interface ProgramLogin extends Pick<ServiceLogin, "isSuperuser" | "user"> {
  /** Variables before a program that connects: `PGSSLMODE=verify-full`. */
  readonly environment: readonly string[];
}

/** The login of PostgreSQL's programs, for as long as `use` runs. @throws dbConnect without a Secret */
export async function withLogin<T>(service: ServiceRequest, use: (login: ProgramLogin) => Promise<T>): Promise<T> {
  const { isSuperuser, password, user } = await serviceLogin(service);
  const folder = await mkdtemp(`${MEMORY}/pgbackstop-`);
  try {
    // libpq takes no password file that others may read, and Kubernetes lets the pod's group read a Secret.
    const passFile = `${folder}/pgpass`;
    const escaped = password.reveal().replaceAll(/[\\:]/g, "\\$&");
    await writeFile(passFile, `*:*:*:*:${escaped}\n`, { mode: 0o600 });
    const ca = `PGSSLROOTCERT=${serviceCaFile(service)}`;
    return await use({ isSuperuser, user, environment: [`PGPASSFILE=${passFile}`, "PGSSLMODE=verify-full", ca] });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
