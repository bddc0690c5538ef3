/** The demo's PostgreSQL: a cluster under pg_ctl, so that settings can be changed with a restart as on a real host. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { onEnd, run, runOk } from "../parts/process";
import type { PostgresBinaries } from "../parts/postgres/postgres";
import { TestCluster } from "../parts/postgres/testCluster";

export interface DemoServer {
  readonly cluster: TestCluster;
  /** Its `restartCommand` for PostgresHost. Runs as root or as the server's account. */
  readonly restartCommand: readonly string[];
  /** Stops it cleanly if `mode` is fast; does nothing if it is not running. */
  stop(mode: "fast" | "immediate"): Promise<void>;
}

/** A new, started cluster in `folder`, without archiving. It stops when this process ends in any way. */
export async function startServer(binaries: PostgresBinaries, folder: string): Promise<DemoServer> {
  const cluster = await TestCluster.create({
    binaries,
    folder,
    settings: { max_wal_size: "4GB", shared_buffers: "128MB", maintenance_work_mem: "128MB" },
  });
  const settings = [
    `unix_socket_directories = '${cluster.socketPath}'`,
    `port = ${cluster.port}`,
    "log_destination = 'stderr'",
  ];
  appendFileSync(join(cluster.dataPath, "postgresql.conf"), `${settings.join("\n")}\n`);
  const control = pgControl(cluster);
  await runOk("/bin/sh", ["-c", control("start")], { user: cluster.user, cwd: folder });
  const stop = async (mode: "fast" | "immediate"): Promise<void> => {
    await run("/bin/sh", ["-c", control(`stop -m ${mode}`)], { user: cluster.user, cwd: "/" });
  };
  onEnd(() => stop("immediate"));
  return { cluster, restartCommand: ["/bin/sh", "-c", asServerUser(cluster, control("restart -m fast"))], stop };
}

/**
 * A command line of pg_ctl. Its output and the server's go to files, because a pipe would stay open with the daemon.
 */
function pgControl(cluster: TestCluster): (action: string) => string {
  const program = join(cluster.binaries.folder, "pg_ctl");
  return (action) =>
    `${quoted(program)} -D ${quoted(cluster.dataPath)} -l ${quoted(cluster.logFile)} -w -t 120 ${action} >/dev/null 2>&1 </dev/null`;
}

/** pg_ctl refuses to run as root, so the shell changes the account first. */
function asServerUser(cluster: TestCluster, command: string): string {
  const { uid, gid } = cluster.user;
  return `if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=${uid} --regid=${gid} --clear-groups /bin/sh -c ${quoted(command)}; else ${command}; fi`;
}

function quoted(argument: string): string {
  return `'${argument.replaceAll("'", "'\\''")}'`;
}
