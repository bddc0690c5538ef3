/** A backup that is taken once, as part of an update. */
import * as pulumi from "@pulumi/pulumi";
import { childName, typeToken } from "../internal/children";
import { declareLocalCommand } from "../internal/declared";
import type { HostAccess } from "../databases/hostArgs";
import { findRepoKey } from "../plan/defaults";
import { backupScript } from "../render/actions";

/** Kinds of backup. */
export const BackupKind = { Full: "full", Diff: "diff", Incr: "incr" } as const;
export type BackupKind = (typeof BackupKind)[keyof typeof BackupKind];

export interface BackupNowArgs {
  /** `access` of a PostgresHost. */
  host: HostAccess;
  /** @default "full" */
  type?: BackupKind;
  /**
   * Keys of the repositories, one backup after the other. Left out, all of them in one pass.
   * @example ["repo2"]
   */
  repositories?: string[];
  /**
   * Another backup is taken when one of these values changes: a version, a digest, the output of another resource. Left out, there is one backup.
   * @example [schemaVersion]
   */
  triggers?: pulumi.Input<string>[];
}

/**
 * Takes a backup when it is created, and again whenever a trigger changes: before a migration, after an upgrade.
 *
 * A command of `@pulumi/command` that runs the host's own runtime as PostgreSQL's account; the update waits for it and fails with it. Its
 * command line and output hold no secret. Destroying it removes nothing: the backup stays for as long as the retention keeps it.
 *
 * `new BackupNow("before-v2", { host: db.access, triggers: [schemaVersion] }, { dependsOn: [stopWrites] });`
 */
export class BackupNow extends pulumi.ComponentResource {
  /** Label of the backup; of the last one, when there are several. */
  public readonly label: pulumi.Output<string>;

  constructor(name: string, args: BackupNowArgs, opts?: pulumi.ComponentResourceOptions) {
    const { host, repositories = [], triggers } = args;
    const type = args.type ?? BackupKind.Full;
    checkArguments(name, args);
    super(typeToken("BackupNow"), name, { type, repositories }, opts);
    const repoKeys = repositories.map((key) => findRepoKey(key) ?? 0);
    const create = pulumi.all([host.user, host.runtimeArgv]).apply(([user, argv]) => backupScript(user, argv, type, repoKeys));
    const command = declareLocalCommand(
      childName(name, "command"),
      // Only these replace it: a new path of the runtime takes no backup.
      { create, triggers: triggers ?? [], interpreter: ["/bin/sh", "-c"] },
      { parent: this, ignoreChanges: ["create"] },
    );
    this.label = command.stdout.apply((text) => [...text.matchAll(/new backup label = ([0-9A-Z_-]+)/g)].at(-1)?.[1] ?? "");
    this.registerOutputs({ label: this.label });
  }
}

function checkArguments(name: string, { host, type, repositories }: BackupNowArgs): void {
  const wrong = (propertyPath: string, reason: string): never => {
    throw new pulumi.InputPropertyError({ propertyPath, reason: `BackupNow ${name}: ${reason}` });
  };
  if (host.connection.local === undefined) wrong("host", "the host is not reached locally: there is no way to run a command there yet");
  if (type !== undefined && !Object.values(BackupKind).includes(type)) wrong("type", `"${type}" is none of full, diff, incr`);
  for (const key of repositories ?? []) {
    if (findRepoKey(key) === null) wrong("repositories", `"${key}" is no repository key: repo1 to repo256 are`);
  }
  if (repositories?.length === 0) wrong("repositories", "no repository is named: leave it out for all");
}
