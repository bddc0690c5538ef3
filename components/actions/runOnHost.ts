/**
 * Programs that run once on a host as part of an update: a resource of `@pulumi/command`. Its package is loaded only
 * for such a resource.
 */
import { readFile } from "node:fs/promises";
import * as pulumi from "@pulumi/pulumi";
import type { HostAccess } from "../databases/hostArgs";
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
  /** Of each run. */
  readonly limitSeconds: number;
  /** A changed value makes it run again, and nothing else does. */
  readonly triggers: readonly pulumi.Input<string>[];
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
  const { account, host, limitSeconds, runs, triggers, what } = args;
  const stdin = pulumi
    .all([account, runs])
    .apply(([user, known]) => onceScript({ account: user, runs: known, what, limitSeconds }));
  // Standard output is the label, for programs.
  const logging = "stderr" as const;
  const common = { stdin, triggers: [...triggers], addPreviousOutputInEnv: false, logging };
  const own = pulumi.mergeOptions(opts, { ignoreChanges: IGNORED });
  if (!isRemote(host.connection)) {
    const { Command } = require("@pulumi/command/local/command") as LocalModule;
    const resource = new Command(name, { ...common, create: onceCommand({ isLocal: true, sudo: false }) }, own);
    return outputsOf(resource);
  }
  const { connection, signIn } = connectionInputs(host.connection);
  const { Command } = require("@pulumi/command/remote/command") as RemoteModule;
  const create = pulumi.all([connection, account]).apply(([{ ssh }, user]) => {
    const isOther = ssh !== undefined && ssh.user !== "root" && ssh.user !== user;
    return onceCommand({ isLocal: false, sudo: isOther && ssh.sudo });
  });
  const login = pulumi.secret(pulumi.all([connection, signIn ?? []]).apply((parts) => commandLogin(...parts)));
  const resource = new Command(name, { ...common, create, connection: login }, own);
  return outputsOf(resource);
}

function outputsOf(resource: pulumi.CustomResource & Record<"stdout" | "stderr", pulumi.Output<string>>): HostCommand {
  return { resource, label: resource.stdout.apply(labelOf), report: resource.stderr };
}

/** Loads the code for keys only for remote hosts. */
async function commandLogin({ ssh }: ConnectionInput, signIn: readonly SignInInput[]) {
  const { commandConnection } = await import("../host/ssh/commandConnection.js");
  if (ssh === undefined) throw new Error("there is no host to connect to");
  const access = {
    readText: (path: string) => readFile(path, "utf8"),
    isPreview: pulumi.runtime.isDryRun(),
  };
  return commandConnection(ssh, signIn, access);
}
