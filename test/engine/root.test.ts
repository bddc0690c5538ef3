/**
 * `pulumi up` at the root of the repository, as a user with an official Pulumi runs it: Pulumi.yaml, the program in
 * TypeScript, the stack's configuration and the real engine. The language host is the official one where it is
 * installed, otherwise a double (languageHostDouble.ts).
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LocalOutputs, LocalSettings } from "../../examples/local/program";
import { projectFolder } from "../../tools/parts/cache";
import { run } from "../../tools/parts/process";
import { findPulumiCli } from "../../tools/parts/pulumi/pulumiCli";
import { loadExample, openStack } from "../../tools/parts/pulumi/pulumiEngine";
import { installLanguageHost } from "../harness/doubles/languageHostDouble";
import { LocalHost } from "./localHost";

/** The part of a clone that the program needs, after `npm ci` and `npm run build`. */
const COPIED = ["Pulumi.yaml", "package.json", "tsconfig.json", "examples", "components", "runtime", "dist"];
const INSTALLED = ["@pulumi", "@types", "typescript", "undici-types"];

interface Exported {
  readonly deployment: { readonly resources?: readonly { readonly urn: string }[] };
}

let host: LocalHost;
let root: string;

beforeAll(async () => {
  host = await LocalHost.create();
  root = mkdtempSync(join(tmpdir(), "pgb-root-"));
  for (const name of COPIED) cpSync(join(projectFolder(), name), join(root, name), { recursive: true });
  mkdirSync(join(root, "node_modules"));
  for (const name of INSTALLED)
    symlinkSync(join(projectFolder(), "node_modules", name), join(root, "node_modules", name));
  // The build creates this link. The engine's process for dynamic resources finds this package by name.
  symlinkSync("..", join(root, "node_modules", "pgbackstop"));
  const official = (await findPulumiCli())?.hasLanguageHost === true;
  if (!official) await installLanguageHost(join(host.programFolder.folder, "language"), host.nodePath);
});
afterAll(async () => {
  await host?.remove();
  if (root !== undefined) rmSync(root, { recursive: true, force: true });
});

/** Runs the user's command at the root. @throws Error with its output when it fails */
async function pulumi(...args: string[]): Promise<string> {
  const path = [join(host.programFolder.folder, "language"), host.programFolder.env.PATH].join(delimiter);
  const argv = [...args, "--non-interactive", "--color=never"];
  const { exitCode, stdout, stderr } = await run(join(host.programFolder.folder, "cli", "bin", "pulumi"), argv, {
    cwd: root,
    env: { ...host.programFolder.env, PATH: path },
  });
  expect(exitCode, `pulumi ${args[0] ?? ""}\n${stdout}${stderr}`).toBe(0);
  return stdout;
}

async function configure(settings: LocalSettings): Promise<void> {
  const { bucket, host: differing = {} } = settings;
  const { name, endpoint, region, port, caFile } = bucket;
  const plain = {
    dataDirectory: settings.dataDirectory,
    nasPath: settings.nasPath,
    bucket: name,
    endpoint,
    region,
    port,
    caFile,
    host: JSON.stringify(differing),
  };
  const shown = Object.entries({ ...plain, protect: settings.protect }).flatMap(([key, value]) => [
    "--plaintext",
    `${key}=${String(value)}`,
  ]);
  const secret = Object.entries({ accessKeyId: host.s3.accessKey, secretAccessKey: host.s3.secretKey }).flatMap(
    ([key, value]) => ["--secret", `${key}=${value}`],
  );
  await pulumi("config", "set-all", ...shown, ...secret);
}

/** `type name` of each resource except the stack. */
function namesOf(urns: readonly string[]): string[] {
  const parts = urns.map((urn) => urn.split("::").slice(2));
  return parts
    .map(([type = "", name = ""]) => `${type} ${name}`)
    .filter((text) => !text.startsWith("pulumi:pulumi:Stack ") && !text.startsWith("pulumi:providers:"))
    .sort();
}

async function inlineResources(settings: LocalSettings): Promise<string[]> {
  const { program } = await loadExample<{ program: (settings: LocalSettings) => LocalOutputs }>(
    host.programFolder,
    "local",
  );
  const stack = await openStack(host.programFolder, "inline", async () => program(settings));
  const urns: string[] = [];
  await stack.preview({
    onEvent: (event) => {
      if (event.resourcePreEvent !== undefined) urns.push(event.resourcePreEvent.metadata.urn);
    },
  });
  return namesOf(urns);
}

test("up creates what the inline program creates, a second one changes nothing, destroy removes it", async () => {
  const settings = host.settings();
  await pulumi("stack", "init", "root");
  await configure(settings);
  const first = await pulumi("up", "--yes", "--skip-preview");
  expect(first).toContain("+ 7 created");

  const exported = JSON.parse(await pulumi("stack", "export")) as Exported;
  const made = namesOf((exported.deployment.resources ?? []).map(({ urn }) => urn));
  expect(made).toEqual(await inlineResources(settings));
  const outputs = JSON.parse(await pulumi("stack", "output", "--json")) as Record<string, unknown>;
  expect(outputs).toMatchObject({
    firstBackup: "taken",
    pendingRestart: false,
    timersEnabled: false,
    passphrase: "[secret]",
  });
  expect(host.restarts).toBe(1);
  expect(await host.cluster.value("SHOW archive_mode")).toBe("on");

  const before = host.fingerprint();
  expect(Object.keys(before)).toHaveLength(8);
  const second = await pulumi("up", "--yes", "--skip-preview");
  expect(second).toContain("7 unchanged");
  expect(second).not.toMatch(/created|updated|replaced|deleted/);
  expect(host.fingerprint()).toEqual(before);
  expect(host.restarts).toBe(1);

  await pulumi("destroy", "--yes", "--skip-preview");
  expect((JSON.parse(await pulumi("stack", "export")) as Exported).deployment.resources ?? []).toEqual([]);
  for (const name of ["etc", "lib", "units"]) expect(existsSync(host.path(name)), name).toBe(false);
  expect(await host.cluster.value("SHOW archive_mode")).toBe("off");
});
