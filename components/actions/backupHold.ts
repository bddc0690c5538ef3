/** A backup that must stay, as part of a program. */
import * as pulumi from "@pulumi/pulumi";
import type { HostAccess } from "../databases/hostAccess";
import { childName, typeToken } from "../internal/children";
import { checkedArguments } from "../internal/validate";
import { runOnHost } from "./runOnHost";

const LIMIT_SECONDS = 900;

export interface BackupHoldArgs {
  /** `access` of a PostgresHost. */
  host: HostAccess;
  /** Label of the backup: `label` of a BackupNow, or one that `info` lists. @example "20261231-020000F" */
  backup: pulumi.Input<string>;
  /** Why it must stay, on one line of up to 500 characters. @example "audit 2026" */
  reason: pulumi.Input<string>;
  /** Last day in UTC, or a time. If omitted, only the verb `release` ends the hold. @example "2027-12-31" */
  until?: pulumi.Input<string>;
}

/**
 * Keeps a backup and what it needs from retention, `expire` and `stanza-delete`, in every repository that has it: the
 * verb `hold`. A changed reason or end replaces the note; another `backup` is held too. The update fails if no
 * repository has the backup.
 *
 * It is a `remote.Command` or `local.Command` of `@pulumi/command` over the host's declared connection. Destroying it
 * leaves the hold, so that no destroy costs the backup: `release` ends it.
 *
 * `new BackupHold("audit", { host: db.access, backup: "20261231-020000F", reason: "audit 2026" });`
 */
export class BackupHold extends pulumi.ComponentResource {
  /** What was held, in which repositories. */
  public readonly report: pulumi.Output<string>;

  constructor(name: string, args: BackupHoldArgs, opts?: pulumi.ComponentResourceOptions) {
    const { backup, host, reason, until = "" } = checkedArguments("BackupHold", name, args);
    super(typeToken("BackupHold"), name, {}, opts);
    const { report } = runOnHost(
      childName(name, "command"),
      {
        host,
        account: host.user,
        runs: pulumi.all([host.runtimeArgv, backup, reason, until]).apply(([argv, set, why, end]) => {
          const options = [`--set=${set}`, `--reason=${why}`, ...(end === "" ? [] : [`--until=${end}`])];
          return [[...argv, "--log-level-console=info", "hold", ...options]];
        }),
        what: "hold the backup",
        limitSeconds: LIMIT_SECONDS,
        triggers: [backup, reason, until],
      },
      { parent: this },
    );
    this.report = report;
    this.registerOutputs({ report: this.report });
  }
}
