/** A check of archiving and backups, as part of an update. */
import { checkedArguments } from "../internal/validate";
import * as pulumi from "@pulumi/pulumi";
import type { HostAccess } from "../databases/hostAccess";
import { childName, typeToken } from "../internal/children";
import { runOnHost } from "./runOnHost";

const LIMIT_MINUTES = 15;

export interface CheckNowArgs {
  /** `access` of a PostgresHost. */
  host: HostAccess;
  /**
   * Values that check again when they change: a version, a digest, the output of another resource. If omitted, there is
   * one check.
   * @example [schemaVersion]
   */
  triggers?: pulumi.Input<string>[];
  /** Time limit: a longer check fails. @default 15 @minimum 1 */
  timeoutMinutes?: pulumi.Input<number>;
}

/**
 * Proves when it is created, and again whenever a trigger changes, that a host archives into each of its repositories,
 * and that each has a full backup as young as the schedules promise (`check`). The update fails if not, with the
 * reason.
 *
 * It is a `remote.Command` or `local.Command` of `@pulumi/command` over the host's declared connection. Destroying it
 * does nothing.
 *
 * `new CheckNow("after-v2", { host: db.access, triggers: [schemaVersion] });`
 */
export class CheckNow extends pulumi.ComponentResource {
  /** Lines of the last check. */
  public readonly report: pulumi.Output<string>;

  constructor(name: string, args: CheckNowArgs, opts?: pulumi.ComponentResourceOptions) {
    const { host, timeoutMinutes = LIMIT_MINUTES, triggers = [] } = checkedArguments("CheckNow", name, args);
    super(typeToken("CheckNow"), name, {}, opts);
    const { report } = runOnHost(
      childName(name, "command"),
      {
        host,
        account: host.user,
        runs: pulumi.output(host.runtimeArgv).apply((argv) => [[...argv, "--log-level-console=info", "check"]]),
        what: "check archiving and backups",
        limitSeconds: pulumi.output(timeoutMinutes).apply((minutes) => minutes * 60),
        triggers,
      },
      { parent: this },
    );
    this.report = report;
    this.registerOutputs({ report: this.report });
  }
}
