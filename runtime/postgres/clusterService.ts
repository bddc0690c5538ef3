/**
 * Sessions with a CloudNativePG cluster through its Service, with the credentials of Secrets that are mounted in one
 * directory: `username`, `password` and `dbname` of an application, the same of the superuser in `superuser`, and
 * `ca.crt`.
 */
import { fail } from "../base/errors";
import { Secret } from "../base/secret";
import { Session, type SessionTarget } from "./session";

export interface ServiceRequest {
  /** A name of the Service that the server's certificate has. */
  readonly host: string;
  /** Undefined without Secrets. */
  readonly secretPath: string | undefined;
  readonly applicationName: string;
  /** Null when it does not exist. */
  readFile(path: string): Promise<Uint8Array | null>;
}

export interface ServiceLogin {
  readonly user: string;
  readonly password: Secret;
  /** Its own database. */
  readonly database: string;
  readonly isSuperuser: boolean;
}

const QUERY_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * The superuser's if there is one. Secrets may have changed since the last call.
 * @throws dbConnect without a Secret
 */
export async function serviceLogin({ readFile, secretPath }: ServiceRequest): Promise<ServiceLogin> {
  const find = async (name: string): Promise<string | null> => {
    const bytes = secretPath === undefined ? null : await readFile(`${secretPath}/${name}`);
    return bytes === null ? null : Buffer.from(bytes).toString("utf8").trim();
  };
  for (const folder of ["superuser/", ""]) {
    const [user, password] = [await find(`${folder}username`), await find(`${folder}password`)];
    if (user === null || password === null) continue;
    const isSuperuser = folder !== "";
    const database = isSuperuser ? "postgres" : ((await find("dbname")) ?? user);
    return { user, password: new Secret(password), database, isSuperuser };
  }
  throw fail("dbConnect", "there is no Secret with credentials");
}

/**
 * With the certificate checked; the caller closes the session.
 * @param queryTimeoutMs default: a minute
 * @throws dbConnect
 */
export async function openThroughService(
  request: ServiceRequest,
  database: string | undefined,
  queryTimeoutMs = QUERY_TIMEOUT_MS,
): Promise<Session> {
  const login = await serviceLogin(request);
  const ca = await request.readFile(serviceCaFile(request));
  const target: SessionTarget = {
    host: request.host,
    port: 5432,
    user: login.user,
    password: login.password,
    database: database ?? login.database,
    queryTimeoutMs,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    applicationName: request.applicationName,
    tls: { mode: "verify-full", ca: ca === null ? "" : Buffer.from(ca).toString("utf8") },
    hints: ["do a NetworkPolicy and pg_hba of the Cluster let this pod in?"],
  };
  return Session.open(target);
}

export function serviceCaFile({ secretPath = "" }: Pick<ServiceRequest, "secretPath">): string {
  return `${secretPath}/ca.crt`;
}
