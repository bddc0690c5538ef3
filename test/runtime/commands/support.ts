/** A host for commands, with repositories in memory. Tests override the configuration and read the recorded output. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { CommandProcess } from "../../../runtime/process/commandProcess";
import { loadConfig } from "../../../runtime/config/load";
import type { Config } from "../../../runtime/config/types";
import { openMissingWal } from "../../../runtime/local/missingWal";
import type { LockFile, LockKind } from "../../../runtime/local/lockFile";
import { inlinePool } from "../../../runtime/operations/shared/jobs";
import type { Session } from "../../../runtime/postgres/session";
import type { Repository } from "../../../runtime/repository/repository";
import type { Context } from "../../../runtime/base/context";
import { testLease } from "../../harness/leases";
import { CONTROL } from "../repository/support";

const CONFIG_FILE = "/etc/my conf/pgbackrest.conf";

export interface HostParts {
  readonly argv: readonly string[];
  readonly repos: readonly Repository[];
  readonly ctx: Context;
  readonly folder: string;
  readonly config?: Partial<Config>;
  readonly session?: Partial<Session>;
  readonly workingDirectory?: string;
}

export interface TestHost extends CommandProcess {
  readonly printed: string[];
  readonly locked: string[];
}

/** Parses `argv` like the program, with a file that has two repositories and the data directory `<folder>/data`. */
export function host(parts: HostParts): TestHost {
  const { folder, repos, ctx } = parts;
  mkdirSync(join(folder, "data"), { recursive: true });
  const configText = `[global]\nrepo1-path=/r1\nrepo2-path=/r2\nrepo2-cipher-type=aes-256-cbc\nrepo2-cipher-pass=second\n[demo]\npg1-path=${folder}/data\n`;
  const argv = [`--config=${CONFIG_FILE}`, "--stanza=demo", ...parts.argv];
  const { config } = loadConfig({
    argv,
    env: {},
    readFile: (path) => (path === CONFIG_FILE ? configText : null),
    listDirectory: () => [],
  });
  const printed: string[] = [];
  const locked: string[] = [];
  return {
    printed,
    locked,
    config: { ...config, spoolPath: join(folder, "spool"), ...parts.config },
    ctx,
    dataDirectory: `${folder}/data`,
    walDirectory: `${folder}/data/pg_wal`,
    self: { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 },
    workingDirectory: parts.workingDirectory ?? "/",
    listenFd: null,
    lockOwners: () => [],
    startBackground: () => {
      printed.push("background");
      return { ended: Promise.resolve(0) };
    },
    runSelf: async () => 0,
    other: () => {
      throw new Error("no other configuration is asked for here");
    },
    reloaded: () => {
      throw new Error("nothing reads the configuration again here");
    },
    close: async () => {},
    machine: { hostName: "db1", environment: {}, showUnit: async () => null },
    ownCommand: ["/usr/bin/node", "/opt/pg backstop/runtime.cjs"],
    users: { userName: () => null, groupName: () => null, findUid: () => null, findGid: () => null },
    repositories: () => repos,
    // Commands only call the methods that the test provides.
    session: async () => (parts.session ?? {}) as Session,
    servers: () => [{ key: 1, dataDirectory: `${folder}/data`, connect: async () => (parts.session ?? {}) as Session }],
    pool: () => inlinePool(new Map(repos.map((repo) => [repo.key, repo])), ctx, 2),
    missingWal: () => openMissingWal(join(folder, "spool"), "demo"),
    loadControl: async () => CONTROL,
    isServerStopping: () => false,
    lock: (kind: LockKind, wanted: readonly { readonly key: number }[]): readonly LockFile[] => {
      locked.push(`${kind} ${wanted.map(({ key }) => key).join(",")}`);
      return [];
    },
    leases: { take: async () => testLease(), isBusy: async () => false, releaseAll: async () => {} },
    dumpLeases: { take: async () => testLease() },
    unlockedLeases: () => ({ take: async () => testLease(), releaseAll: async () => {} }),
    isLocked: () => false,
    lockState: (kind) => ({ held: kind === "restore", repos: [] }),
    process: { pid: 1, execId: "1-00000000", beganMs: 0, terminate: () => false },
    printBytes: async (bytes) => void printed.push(Buffer.from(bytes).toString("utf8")),
    requireStarted: () => {},
    readFile: async () => null,
    print: (text) => void printed.push(text),
    printError: () => {},
    newSession: () => Promise.reject(new Error("no server here")),
    walStream: () => Promise.reject(new Error("no server here")),
    program: () => Promise.reject(new Error("no program here")),
    isInteractive: false,
    ask: async () => null,
    readInput: async () => "",
  };
}
