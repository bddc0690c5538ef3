/** A step of `pgbackstop-migration` on a host, as part of an update. It brings the program with it. */
import * as pulumi from "@pulumi/pulumi";
import type { HostAccess } from "pgbackstop";
import { runScriptOnHost } from "pgbackstop/kit";
import { migrateProgram } from "./programs";
import { FILES_PLACEHOLDER, reportScript } from "./reportScript";

export interface HostStepArgs {
  readonly host: HostAccess;
  /** Of `pgbackstop-migration`. */
  readonly args: pulumi.Output<string[]>;
  /** Secret. */
  readonly files: Readonly<Record<string, pulumi.Input<string>>>;
  /** Programs that run first, and whose answers become files. */
  readonly asked: readonly { readonly file: string; readonly argv: pulumi.Output<string[]> }[];
  readonly acceptedCode: number;
  readonly what: string;
  readonly limitSeconds: number;
  /** A changed value makes it run again, and nothing else does. */
  readonly triggers: pulumi.Input<pulumi.Input<string>[]>;
}

export interface HostStep {
  readonly resource: pulumi.CustomResource;
  /** Its whole standard output. */
  readonly report: pulumi.Output<string>;
}

const PROGRAM = "migrate.cjs";

export function reportFromHost(name: string, args: HostStepArgs, opts: pulumi.CustomResourceOptions): HostStep {
  const { acceptedCode, asked, files, host, limitSeconds, what } = args;
  const script = pulumi
    .all([
      host.user,
      host.databaseUser ?? host.user,
      nodeOf(host),
      args.args,
      pulumi.all(files),
      pulumi.all(asked.map(({ argv }) => argv)),
    ])
    .apply(([user, account, node, options, known, argvs]) =>
      reportScript({
        account,
        argv: [node, `${FILES_PLACEHOLDER}/${PROGRAM}`, ...options],
        files: known,
        packed: { [PROGRAM]: migrateProgram() },
        asked: Object.fromEntries(asked.map(({ file }, index) => [file, { account: user, argv: argvs[index] ?? [] }])),
        acceptedCode,
        what,
        limitSeconds,
      }),
    );
  const resource = runScriptOnHost(
    name,
    { host, account: host.user, triggers: args.triggers },
    pulumi.secret(script),
    opts,
  );
  return { resource, report: resource.stdout };
}

/** Without its path: the program before the verbs is Node.js, or a launcher. */
function nodeOf({ nodePath, runtimeArgv }: HostAccess): pulumi.Input<string> {
  if (nodePath !== undefined) return nodePath;
  return pulumi.output(runtimeArgv).apply(([program = "node", ...more]) => (more.length > 0 ? program : "node"));
}
