/** The stack of a database whose repository belongs to stack `network`. */
import * as pulumi from "@pulumi/pulumi";
import { PostgresHost, type PostgresHostArgs } from "pgbackstop";

export interface TenantArgs {
  readonly dataDirectory: string;
  readonly host: Partial<PostgresHostArgs>;
}

export function program({ dataDirectory, host }: TenantArgs): Record<string, pulumi.Output<string>> {
  const network = new pulumi.StackReference("organization/network/dev");
  const db = new PostgresHost("tenant", {
    connection: { local: {} },
    dataDirectory,
    repositories: { repo1: { at: network.getOutput("target"), keepDays: 7 } },
    schedules: { full: { cron: "30 2 * * *" } },
    ...host,
  });
  return { firstBackup: db.firstBackup, topology: db.topology };
}
