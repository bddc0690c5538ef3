/** `extract-table` in a Job of CloudNativePG: production is behind its Service, with the credentials of its Secrets. */
import type { Context } from "../../base/context";
import { mkdtemp, rm, writeFile } from "../../local/nodeFiles";
import type { ExtractDeps } from "../../operations/extract/extract";
import { openThroughService, serviceCaFile, serviceLogin, type ServiceRequest } from "../../postgres/clusterService";
import type { CommandProcess } from "../../process/commandProcess";

/** Rows are counted and summed in one statement. */
const QUERY_TIMEOUT_MS = 86_400_000;
/** Memory of the pod: a password in it is never on a disk. */
const MEMORY = "/dev/shm";

/** Undefined for a server of this machine. */
export function serviceOf({ config, readFile }: CommandProcess): ServiceRequest | undefined {
  const { cluster, secretPath } = config.clusterDrill;
  if (cluster === undefined) return undefined;
  return { host: `${cluster}-rw`, secretPath, applicationName: "pgbackstop extract-table", readFile };
}

/** Parts of an extraction that reach production; none without a service. */
export async function withService<T>(
  service: ServiceRequest | undefined,
  ctx: Context,
  use: (parts: Partial<ExtractDeps>) => Promise<T>,
): Promise<T> {
  if (service === undefined) return use({});
  const { isSuperuser, password, user } = await serviceLogin(service);
  const folder = await mkdtemp(`${MEMORY}/pgbackstop-`);
  try {
    // libpq takes no password file that others may read, and Kubernetes lets the pod's group read a Secret.
    const passFile = `${folder}/pgpass`;
    const escaped = password.reveal().replaceAll(/[\\:]/g, "\\$&");
    await writeFile(passFile, `*:*:*:*:${escaped}\n`, { mode: 0o600 });
    ctx.log.info(`production: ${service.host} as ${user}${isSuperuser ? "" : ", which must own what comes back"}`);
    const env = [`PGPASSFILE=${passFile}`, "PGSSLMODE=verify-full", `PGSSLROOTCERT=${serviceCaFile(service)}`];
    return await use({
      isRemote: true,
      openProduction: (database) => openThroughService(service, database, QUERY_TIMEOUT_MS),
      psql: (side, args) => [...env, ...side.command("psql", args)],
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
