/** The two servers of a migration: sessions with any of their databases. */
import { type CertificateReader, type Connection, sessionTarget } from "./connectionString";
import { Session } from "../../../runtime/postgres/session";

/** The checksum of a large table takes long, and so does an index. */
const QUERY_TIMEOUT_MS = 7 * 24 * 60 * 60 * 1000;

export interface Servers {
  readonly source: Connection;
  readonly target: Connection;
  readonly readFile: CertificateReader;
}

/** Opens a session for `work` and closes it afterwards. Default database: the connection's own. */
export async function withSession<T>(
  { readFile }: Servers,
  connection: Connection,
  database: string | undefined,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const target = await sessionTarget(connection, database ?? connection.database, readFile, {
    applicationName: "pgbackstop migrate",
    queryTimeoutMs: QUERY_TIMEOUT_MS,
  });
  const session = await Session.open(target);
  try {
    // A setting of the role, or of all roles, must not end an ANALYZE.
    await session.query("SET statement_timeout TO 0");
    return await work(session);
  } finally {
    await session.close();
  }
}
