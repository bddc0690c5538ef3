/** The two ends of a migration: sessions with either, in any of their databases. */
import { type CertificateReader, type Connection, sessionTarget } from "../../postgres/connectionString";
import { Session } from "../../postgres/session";

/** The sum of a large table takes its time, and an index too. */
const QUERY_TIMEOUT_MS = 7 * 24 * 60 * 60 * 1000;

export interface Servers {
  readonly source: Connection;
  readonly target: Connection;
  readonly readFile: CertificateReader;
}

/** A session that `work` uses and that is closed after it. Default database: the connection's own. */
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
    return await work(session);
  } finally {
    await session.close();
  }
}
