/** A caller with a directory of its own for sockets, whichever account runs the tests. */
import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Caller } from "../../../runtime/stay/place";
import { temporaryFolder } from "../repository/support";

const NOBODY = 65_534;

export function makeCaller(changes: Partial<Caller> = {}): Caller & { readonly folder: string } {
  const folder = temporaryFolder();
  const programFile = join(folder, "runtime.cjs");
  writeFileSync(programFile, "program");
  return {
    folder,
    uid: ownUid() === 0 ? NOBODY : ownUid(),
    execArgv: [],
    execPath: "/usr/bin/node",
    nodeVersion: "v24.0.0",
    programFile,
    environment: { TMPDIR: folder, PGBACKREST_REPO1_CIPHER_PASS: "secret", SHLVL: "1" },
    ...changes,
  };
}

/** As the first call makes it. */
export function makeDirectory({ folder, uid }: ReturnType<typeof makeCaller>, mode = 0o700): string {
  const directory = join(folder, `pgbackstop-${uid}`);
  mkdirSync(directory, { mode });
  if (ownUid() === 0) chownSync(directory, uid, uid);
  return directory;
}

function ownUid(): number {
  return process.geteuid?.() ?? 0;
}
