/** The side server of `extract-table`, alongside production: on a backup that was restored for it, as in a drill. */
import type { Context } from "../../base/context";
import type { Programs } from "../../postgres/programs";
import type { Session } from "../../postgres/session";
import type { Repository } from "../../repository/repository";
import { HBA_TEXT } from "../drill/neutral";
import { type PreparedServer, prepareServer, restoreScratch } from "../drill/drillServer";
import type { HostParts } from "../drill/hostVenue";
import { makeScratch, removeScratch } from "../drill/scratch";
import type { WalOffer } from "../drill/walOffer";
import type { RecoveryRequest } from "../restore/recovery";

export interface SideServerAccess {
  /** They have the backup's version. */
  readonly programs: Programs;
  readonly socketDirectory: string;
  readonly port: number;
  /** The caller closes the session. */
  connect(database: string): Promise<Session>;
  /** Ends the server, and removes its files. */
  end(): Promise<void>;
}

export interface RestoredSideRequest {
  readonly repos: readonly Repository[];
  readonly repoIndex: number | undefined;
  readonly parts: Pick<HostParts, "pool" | "programs" | "self" | "users">;
  readonly root: string;
  readonly stanza: string;
  /** Its last eight characters are in the directory's name. */
  readonly id: string;
  readonly label: string;
  readonly pgVersion: string;
  readonly databaseInclude: readonly string[];
  readonly recovery: RecoveryRequest;
  readonly user: string;
  /** Directories of further libraries, with colons between them. */
  readonly libraryPath: string | undefined;
}

const PORT = 54329;

export async function restoredSide(request: RestoredSideRequest, ctx: Context): Promise<SideServerAccess> {
  const { databaseInclude, id, label, parts, pgVersion, recovery, repoIndex, repos, root, stanza, user } = request;
  const libraries = librarySettings(request.libraryPath);
  const scratch = await makeScratch(root, stanza, { account: parts.programs.account, id, port: PORT });
  let offer: WalOffer | null = null;
  let prepared: PreparedServer | null = null;
  const end = async (): Promise<void> => {
    await prepared?.server.end(ctx);
    await offer?.stop();
    await removeScratch(scratch.path);
  };
  try {
    const restoring = { set: label, databaseInclude, recovery: { ...recovery, restoreCommand: "" } };
    await restoreScratch(repos, scratch, parts, restoring, ctx);
    offer = await parts.programs.offerWal(scratch, repoIndex, ctx);
    const { restoreCommand } = offer;
    const programs = await parts.programs.find(pgVersion, scratch.path, ctx.signal);
    const clients = { settings: libraries, access: HBA_TEXT };
    const starting = { scratch, programs, user, database: "postgres", preload: undefined, port: PORT, clients };
    prepared = await prepareServer({ ...starting, recovery: { ...recovery, restoreCommand } }, ctx);
    const { server, socketDirectory } = prepared;
    await (await server.connectFirst(ctx)).close();
    return { programs, socketDirectory, port: PORT, connect: (database) => server.connect(database), end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** PostgreSQL 18 looks there for `$libdir/name` too. */
function librarySettings(path: string | undefined): string {
  return path === undefined ? "" : `dynamic_library_path = '$libdir:${path.replaceAll("'", "''")}'\n`;
}
