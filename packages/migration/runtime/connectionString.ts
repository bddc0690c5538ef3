/**
 * How to reach another server: libpq's keywords and values (PostgreSQL "Connection Strings"), for our own sessions and
 * for PostgreSQL's programs. A password is never an argument: it comes from a file, and goes to a program only through
 * its environment.
 */
import { fail } from "../../../runtime/base/errors";
import { Secret } from "../../../runtime/base/secret";
import type { SessionTarget } from "../../../runtime/postgres/session";

export const SSL_MODES = ["disable", "prefer", "require", "verify-ca", "verify-full"] as const;
export type SslMode = (typeof SSL_MODES)[number];

export interface Connection {
  /** A host name, an address, or a unix socket's directory. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** For queries about the whole cluster. */
  readonly database: string;
  readonly sslMode: SslMode;
  readonly rootCertFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly password?: Secret;
}

const KEYWORDS = ["host", "port", "user", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey"] as const;
const PORT_MAX = 65_535;

/**
 * `host=old.example.net port=5432 user=postgres sslmode=verify-full`; values with spaces in single quotes, with `\'`
 * and `\\` inside.
 * @throws optionInvalidValue (32) naming the option `option`
 */
export function parseConnection(option: string, text: string, defaultUser: string): Connection {
  const wrong = (what: string, hint: string): Error =>
    fail("optionInvalidValue", `'${option}' option ${what}`, { hint });
  const example = "as in host=old.example.net user=postgres sslmode=verify-full sslrootcert=/etc/ssl/old-ca.pem.";
  if (/^postgres(ql)?:\/\//.test(text)) throw wrong("is a URI", `write keywords and values instead, ${example}`);
  const values = new Map<string, string>();
  const pair = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)/y;
  while (pair.lastIndex < text.trimEnd().length) {
    const match = pair.exec(text);
    if (match === null) throw wrong("is no list of keywords and values", `write them ${example}`);
    const [, keyword = "", quoted, plain] = match;
    if (keyword === "password")
      throw wrong(
        "holds a password",
        `Everyone on this machine can read it there. Put it into a file, and set --${option}-password-file to its path.`,
      );
    if (!KEYWORDS.some((known) => known === keyword))
      throw wrong(`has an unknown keyword '${keyword}'`, `known are ${KEYWORDS.join(", ")}.`);
    if (values.has(keyword)) throw wrong(`has '${keyword}' twice`, "Use it once.");
    values.set(keyword, (quoted ?? plain ?? "").replaceAll(/\\(.)/g, "$1"));
  }
  const host = values.get("host") ?? "";
  if (host === "") throw wrong("names no host", `write it ${example}`);
  const port = Number(values.get("port") ?? "5432");
  if (!(Number.isInteger(port) && port > 0 && port <= PORT_MAX))
    throw wrong(`has port '${values.get("port")}'`, `a port is 1 to ${PORT_MAX}.`);
  const given = values.get("sslmode") ?? "prefer";
  const sslMode = SSL_MODES.find((mode) => mode === given);
  if (sslMode === undefined) throw wrong(`has sslmode '${given}'`, `allowed are ${SSL_MODES.join(", ")}.`);
  const rootCertFile = values.get("sslrootcert");
  if (sslMode.startsWith("verify") && rootCertFile === undefined && !host.startsWith("/"))
    throw wrong(`has sslmode '${sslMode}' and no sslrootcert`, "Set it to the file of the authority's certificate.");
  const files = { rootCertFile, certFile: values.get("sslcert"), keyFile: values.get("sslkey") };
  return {
    host,
    port,
    user: values.get("user") ?? defaultUser,
    database: values.get("dbname") ?? "postgres",
    sslMode,
    ...Object.fromEntries(Object.entries(files).filter(([, value]) => value !== undefined)),
  };
}

/**
 * Environment variables of PostgreSQL's programs (PostgreSQL "Environment Variables"). They include the database: as an
 * argument, a name with `=` would be parsed as a list of keywords.
 */
export function programEnvironment(connection: Connection, database: string): Readonly<Record<string, string>> {
  const { certFile, host, keyFile, password, port, rootCertFile, sslMode, user } = connection;
  const optional: Readonly<Record<string, string | undefined>> = {
    PGSSLROOTCERT: rootCertFile,
    PGSSLCERT: certFile,
    PGSSLKEY: keyFile,
    PGPASSWORD: password?.reveal(),
  };
  return {
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGDATABASE: database,
    PGSSLMODE: sslMode,
    PGCONNECT_TIMEOUT: "60",
    ...(Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)) as Record<
      string,
      string
    >),
  };
}

/** Reads certificate files; undefined stays undefined. */
export type CertificateReader = (path: string) => Promise<Uint8Array | null>;

/** The same connection for our own session. @throws fileMissing for a missing certificate */
export async function sessionTarget(
  connection: Connection,
  database: string,
  readFile: CertificateReader,
  session: Pick<SessionTarget, "applicationName" | "queryTimeoutMs">,
): Promise<SessionTarget> {
  const { certFile, host, keyFile, password, port, rootCertFile, sslMode, user } = connection;
  const read = async (path: string | undefined): Promise<string | undefined> => {
    if (path === undefined) return undefined;
    const bytes = await readFile(path);
    if (bytes === null)
      throw fail("fileMissing", `unable to open missing file '${path}' for read`, {
        path,
        hint: "the connection names this file.",
      });
    return Buffer.from(bytes).toString("utf8");
  };
  const isLocal = host.startsWith("/");
  const [ca, cert, key] =
    isLocal || sslMode === "disable" ? [] : [await read(rootCertFile), await read(certFile), await read(keyFile)];
  return {
    host,
    port,
    user,
    database,
    ...session,
    ...(password === undefined ? {} : { password }),
    tls: isLocal ? { mode: "disable" } : { mode: sslMode, ca, cert, key },
    hints: ["Check that PostgreSQL runs there, and that pg_hba.conf allows this role to connect."],
  };
}

/**
 * The password of a connection from a password file, lines of `host:port:database:user:password` (PostgreSQL "The
 * Password File"). Null without a matching line.
 */
export function findPassword(passFileText: string, { host, port, user }: Connection): Secret | null {
  for (const line of passFileText.split(/\r?\n/)) {
    if (line.startsWith("#")) continue;
    const fields =
      line.match(/(?:\\.|[^:\\])*(?::|$)/g)?.map((field) => field.replace(/:$/, "").replaceAll(/\\(.)/g, "$1")) ?? [];
    const [itsHost = "", itsPort = "", , itsUser = "", password] = fields;
    const fits = (field: string, value: string): boolean => field === "*" || field === value;
    const isHost = fits(itsHost, host) || (host.startsWith("/") && itsHost === "localhost");
    if (password !== undefined && isHost && fits(itsPort, String(port)) && fits(itsUser, user))
      return new Secret(password);
  }
  return null;
}
