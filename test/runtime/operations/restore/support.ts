/** Default options of a restore in tests. */
import { join } from "node:path";
import type { RestoreOptions } from "../../../../runtime/operations/restore/restore";

export function restoreOptions(folder: string, dataDirectory: string): RestoreOptions {
  return {
    dataDirectory,
    tablespaceMap: {},
    tablespaceMapAll: undefined,
    linkMap: {},
    linkAll: false,
    set: undefined,
    server: null,
    delta: false,
    force: false,
    databaseInclude: [],
    databaseExclude: [],
    checksumPageError: false,
    serverFiles: undefined,
    spoolPath: join(folder, "spool"),
    self: { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 },
    recovery: {
      type: "default",
      target: undefined,
      targetAction: "pause",
      targetExclusive: false,
      targetTimeline: undefined,
      archiveMode: "preserve",
      restoreCommand: "get",
      options: {},
    },
  };
}
