/**
 * The repository components on a real account: `up` creates a bucket and keys, a second one changes nothing, a small
 * cluster is backed up with those keys, and `destroy` removes everything. Names are new each time; leftovers are named.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { ensurePulumiCli } from "../parts/pulumi/pulumiCli";
import { openStack, prepareProgramFolder } from "../parts/pulumi/pulumiEngine";
import type { Account, BucketAccess, Environment } from "./accounts";
import { type Print, tryData } from "./data";

type Package = typeof import("../../components/index");
type Repository = InstanceType<Package["B2Repository" | "R2Repository" | "S3Repository"]>;

export interface ComponentOptions {
  /** More for the engine's environment: stand-ins of providers. */
  readonly engine?: Readonly<Record<string, string>>;
  /** Address of the bucket if it differs from its own endpoint; null if backups are impossible. */
  readonly reach?: (access: BucketAccess) => BucketAccess | null;
}

/** A component's default prefix: its keys are restricted to it. */
const PATH = "/pgbackrest";
const B2_API = "https://api.backblazeb2.com";

/** @throws Error for the failure, after destroying what was created as far as possible */
export async function tryComponents(
  { prefix }: Account,
  environment: Environment,
  print: Print,
  options: ComponentOptions = {},
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "pgb-live-stack-"));
  try {
    const prepared = await prepareProgramFolder(folder, {
      cli: await ensurePulumiCli(print),
      passphrase: randomBytes(16).toString("hex"),
    });
    // In this command it means the bucket's S3 interface, in the component the native API.
    const env = { ...prepared.env, ...managementOf(environment), ...options.engine };
    const built = createRequire(join(folder, "program.cjs"))("pgbackstop") as Package;
    const name = `pgbackstop-live-${randomBytes(6).toString("hex")}`;
    const stack = await openStack({ folder, env }, "live", async () =>
      outputsOf(declare(built, prefix, name, environment)),
    );
    await stack.setAllConfig(configOf(prefix, environment));
    print(`${prefix}: bucket ${name}`);
    await tryStack(prefix, name, stack, print, options);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function tryStack(
  prefix: string,
  name: string,
  stack: Stack,
  print: Print,
  { reach }: ComponentOptions,
): Promise<void> {
  let isDone = false;
  try {
    const { outputs, summary } = await stack.up();
    print(`  ok   up: ${JSON.stringify(summary.resourceChanges)}`);
    const again = (await stack.up()).summary.resourceChanges ?? {};
    if (Object.keys(again).join() !== "same")
      throw new Error(`a second up changes something: ${JSON.stringify(again)}`);
    print(`  ok   second up: ${JSON.stringify(again)}`);
    const access = accessOf(prefix, outputs);
    const reached = reach === undefined ? access : reach(access);
    if (reached === null) print("  -    backup with the keys that were made: NOT RUN, nothing answers at the endpoint");
    else await tryData(reached, print);
    isDone = true;
  } finally {
    await stack.destroy().then(
      ({ summary }) => print(`  ok   destroy: ${JSON.stringify(summary.resourceChanges)}`),
      (error: unknown) => {
        print(`  FAIL destroy: remove bucket ${name} and the keys whose names begin with pgbackstop by hand`);
        if (isDone) throw error;
      },
    );
  }
}

/** A throw-away bucket: neither protected nor retained, and emptied where the component can. */
function declare(built: Package, prefix: Account["prefix"], name: string, environment: Environment): Repository {
  const opts = { protect: false, retainOnDelete: false };
  const credentials = { create: { reader: true } };
  const cipher = { passphrase: randomBytes(32).toString("hex") };
  if (prefix === "B2")
    return new built.B2Repository(
      "live",
      { bucket: { create: { name, forceDestroy: true } }, credentials, cipher },
      opts,
    );
  if (prefix === "R2") {
    const accountId = environment["CLOUDFLARE_ACCOUNT_ID"] ?? "";
    return new built.R2Repository("live", { accountId, bucket: { create: { name } }, credentials, cipher }, opts);
  }
  const region = environment["AWS_REGION"] ?? "";
  return new built.S3Repository(
    "live",
    { region, bucket: { create: { name, forceDestroy: true } }, credentials, cipher },
    opts,
  );
}

function outputsOf({ target }: Repository): Record<string, unknown> {
  const { bucket, credentials, endpoint, region } = target.s3 ?? {};
  return { bucket, endpoint, region, keyId: credentials?.accessKeyId, key: credentials?.secretAccessKey };
}

function accessOf(prefix: string, outputs: Readonly<Record<string, { readonly value: unknown }>>): BucketAccess {
  const text = (name: string): string => {
    const value = outputs[name]?.value;
    return typeof value === "string" ? value : "";
  };
  return {
    name: prefix,
    path: PATH,
    bucket: text("bucket"),
    endpoint: text("endpoint"),
    port: 443,
    region: text("region"),
    keyId: text("keyId"),
    key: text("key"),
  };
}

/** Credentials for the engine's processes, which inherit the rest of the environment. */
function managementOf(environment: Environment): Record<string, string> {
  const names = [
    "CLOUDFLARE_API_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
  ];
  const given = names.flatMap((name): [string, string][] => {
    const value = environment[name];
    return value === undefined ? [] : [[name, value]];
  });
  return Object.fromEntries(given);
}

/** Configuration overrides the environment, whose B2_ENDPOINT means another interface here. */
function configOf(
  prefix: Account["prefix"],
  environment: Environment,
): Record<string, { value: string; secret?: boolean }> {
  if (prefix !== "B2") return {};
  return {
    "b2:applicationKeyId": { value: environment["B2_APPLICATION_KEY_ID"] ?? "", secret: true },
    "b2:applicationKey": { value: environment["B2_APPLICATION_KEY"] ?? "", secret: true },
    "b2:endpoint": { value: environment["B2_API_ENDPOINT"] ?? B2_API },
  };
}
