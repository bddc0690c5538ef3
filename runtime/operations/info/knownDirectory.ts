/** For reports about repositories, which a lost server must not hide. */
import { isError } from "../../base/errors";

/**
 * The data directory on this machine; null while the server's container is gone, or has it in no volume or behind a
 * link out of them.
 */
export function findDataDirectory(server: { readonly dataDirectory: string }): string | null {
  try {
    return server.dataDirectory;
  } catch (error) {
    if (isError(error, "dbConnect", "pathMissing", "pathOpen")) return null;
    throw error;
  }
}
