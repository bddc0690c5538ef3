/**
 * Programs that run once on a host as part of an update: a resource of `@pulumi/command`. Its package is loaded only
 * for such a resource.
 */
import { readFile } from "node:fs/promises";
import type { remote } from "@pulumi/command/types/input";
import * as pulumi from "@pulumi/pulumi";
import type { HostAccess } from "../databases/hostAccess";
import { connectionInputs, isRemote } from "../databases/hostConnection";
import type { ConnectionInput } from "../dynamic/reach";
import { labelOf, onceCommand, onceScript } from "../host/onceScript";
import type { SignInInput } from "../host/ssh/sshTarget";

type RemoteModule = typeof import("@pulumi/command/remote/command");
type LocalModule = typeof import("@pulumi/command/local/command");

export interface HostCommandArgs {
  readonly host: Pick<HostAccess, "connection">;
  /** Account that runs the program. */
  readonly account: pulumi.Input<string>;
  /** Program and arguments of each run, in sequence. */
  readonly runs: pulumi.Input<string[][]>;
  /** For messages: `take a backup`. */
  readonly what: string;
  /** Time limit of each run. */
  readonly limitSeconds: pulumi.Input<number>;
  /** A changed value makes it run again, and nothing else does. */
  readonly triggers: pulumi.Input<string>[];
}

export interface HostScriptArgs extends Pick<HostCommandArgs, "host" | "account"> {
  /** A changed value makes it run again, and nothing else does. */
  readonly triggers: pulumi.Input<pulumi.Input<string>[]>;
}

export interface HostCommand {
  readonly resource: pulumi.CustomResource;
  /** Label of the last backup; empty for none. */
  readonly label: pulumi.Output<string>;
  /** The lines that were shown. */
  readonly report: pulumi.Output<string>;
}

/** Every change but one of `triggers` would run it again: a rotated key, another path or version. */
const IGNORED = ["connection", "create", "stdin"];

/** Runs when it is created or replaced, after which it is unchanged; removing it does nothing. */
export function runOnHost(name: string, args: HostCommandArgs, opts: pulumi.CustomResourceOptions): HostCommand {
  const { account, limitSeconds, runs, what } = args;
  const script = pulumi
    .all([account, runs, limitSeconds])
    .apply(([user, known, limit]) => onceScript({ account: user, runs: known, what, limitSeconds: limit }));
  const resource = runScriptOnHost(name, args, script, opts);
  return { resource, label: resource.stdout.apply(labelOf), report: resource.stderr };
}

export type HostScript = pulumi.CustomResource & Record<"stdout" | "stderr", pulumi.Output<string>>;

/** Runs a shell script, which may be secret, when it is created or replaced. @param stdin the script */
export function runScriptOnHost(
  name: string,
  { account, host, triggers }: HostScriptArgs,
  stdin: pulumi.Output<string>,
  opts: pulumi.CustomResourceOptions,
): HostScript {
  // Standard output is for programs.
  const logging = "stderr" as const;
  const common = { stdin, triggers, addPreviousOutputInEnv: false, logging };
  const own = pulumi.mergeOptions(opts, { ignoreChanges: IGNORED });
  if (!isRemote(host.connection)) {
    const { Command } = require("@pulumi/command/local/command") as LocalModule;
    return new Command(name, { ...common, create: onceCommand({ isLocal: true, sudo: false }) }, own);
  }
  const { connection, signIn } = connectionInputs(host.connection);
  const { Command } = require("@pulumi/command/remote/command") as RemoteModule;
  const create = pulumi.all([connection, account]).apply(([{ ssh }, user]) => {
    const isOther = ssh !== undefined && ssh.user !== "root" && ssh.user !== user;
    return onceCommand({ isLocal: false, sudo: isOther && ssh.sudo });
  });
  const login = pulumi.secret(
    pulumi.all([connection, signIn ?? []]).apply((parts) => commandLogin(...parts, opts.parent)),
  );
  return new Command(name, { ...common, create, connection: login }, own);
}

/** Loads the code for keys only for remote hosts. */
async function commandLogin(
  { ssh }: ConnectionInput,
  signIn: readonly SignInInput[],
  parent: pulumi.Resource | undefined,
): Promise<remote.ConnectionArgs> {
  const { commandConnection, ConnectionError } = await import("../host/ssh/commandConnection.js");
  if (ssh === undefined) throw new Error("there is no host to connect to");
  const access = {
    readText: (path: string) => readFile(path, "utf8"),
    isPreview: pulumi.runtime.isDryRun(),
  };
  const login = await commandConnection(ssh, signIn, access).catch((error: unknown) => {
    if (!(error instanceof ConnectionError)) throw error;
    throw new pulumi.InputPropertyError({ propertyPath: "host.connection", reason: error.message });
  });
  if (access.isPreview) return login;
  const { findSilence } = await import("../host/ssh/silentHost.js");
  const silence = await findSilence(ssh, (line) => void pulumi.log.info(line, parent));
  if (silence === null) return login;
  // Not an error here: a command that has run already is unchanged and needs no host. One that must run now fails on
  // the empty key before it connects.
  await pulumi.log.warn(`${silence} A command that must run there now fails ("failed to parse host key").`, parent);
  return { ...login, hostKey: "" };
}
