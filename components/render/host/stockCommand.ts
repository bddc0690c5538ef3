/** Command lines of stock pgBackRest on a host. Pure. */
import { DEFAULTS } from "../../plan/model/defaults";
import type { HostPlan } from "../../plan/model/plan";
import { doublePercent } from "./commandLine";
import { hostPaths, runtimeArgv, secretsDirectory, shellArgument, withoutStanza } from "../../plan/host/hostCommand";
import { accountLauncherText } from "./launcher";

type Placed = Pick<HostPlan, "directories" | "pgbackrestPath" | "stanza">;

/** Program and options of every verb; only the stanza if the configuration is at stock's own path. */
export function stockArgv(plan: Placed): string[] {
  const paths = hostPaths(plan.directories);
  const isAtHome = plan.directories.config === DEFAULTS.stockConfig;
  const configArgs = isAtHome
    ? []
    : [
        `--config=${paths.conf}`,
        `--config-include-path=${secretsDirectory({ directories: plan.directories, agent: false })}`,
      ];
  return [plan.pgbackrestPath, ...configArgs, `--stanza=${plan.stanza}`];
}

/** PostgreSQL's archive_command, as in pgBackRest's documentation; a program on every PATH is called by its name. */
export function stockArchiveCommand(plan: Placed): string {
  const [program, ...options] = stockArgv(plan);
  const argv = [program === DEFAULTS.pgbackrestPath ? "pgbackrest" : (program ?? ""), ...options, "archive-push"];
  return `${argv.map(shellArgument).map(doublePercent).join(" ")} %p`;
}

/** Path of the script that runs a verb for one repository after the other. */
export function stockEachPath({ directories }: Pick<Placed, "directories">): string {
  return `${directories.lib}/pgbackrest-each`;
}

/** {@link stockArgv} for several repositories, one after the other. */
export function stockEachArgv(plan: Placed, repoIndexes: readonly number[]): string[] {
  return [stockEachPath(plan), repoIndexes.join(","), ...stockArgv(plan)];
}

/**
 * A command line that restores the newest state.
 * @param restoreOnly a cluster restored with a reader's key must not archive with it
 */
export function stockRestoreArgv(plan: Placed, restoreOnly: boolean): string[] {
  const [program, ...options] = stockArgv(plan);
  const name = program === DEFAULTS.pgbackrestPath ? "pgbackrest" : (program ?? "");
  return [name, ...options, "--delta", ...(restoreOnly ? ["--archive-mode=off"] : []), "restore"];
}

/**
 * The command `pgbackstop` alongside stock: the same commands for operators and the runbook with either engine. Backups
 * are stock's, into one repository after the other; this package's program does everything else and reads the same
 * configuration. For root, or PostgreSQL's account.
 */
export function stockLauncherText(plan: HostPlan): string {
  const commandLine = (argv: readonly string[]): string => withoutStanza(argv).map(shellArgument).join(" ");
  const keys = plan.repositories.map(({ key }) => key);
  const what = `# Runs a verb of the backup program for stanza ${plan.stanza} as PostgreSQL's account; backups are taken by stock pgBackRest.`;
  return accountLauncherText(
    plan,
    what,
    `case $verb in
  backup | expire) set -- ${commandLine(stockEachArgv(plan, keys))} "$@" ;;
  *) set -- ${commandLine(runtimeArgv(plan))} "$@" ;;
esac`,
  );
}
