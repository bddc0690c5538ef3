/**
 * Components for programs in other languages, on the real engine, which starts `plugin/` of this package and asks it
 * for them. Like a program in Python, Go or YAML, the one here knows only type tokens: it passes one component's
 * outputs to the next.
 *
 * The official language host for Node.js starts the plugin where it is installed. Elsewhere a double does
 * (languageHostDouble.ts).
 */
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { delimiter, join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writePackageSchemas } from "../../tools/parts/build/packageSchema";
import { findPulumiCli } from "../../tools/parts/pulumi/pulumiCli";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { failureOf } from "../harness/compare/engineTexts";
import { installLanguageHost } from "../harness/doubles/languageHostDouble";
import { NIGHTLY } from "../../tools/parts/nightly";
import { LocalHost } from "./localHost";

let host: LocalHost;
let programFolder: ProgramFolder;

beforeAll(async () => {
  host = await LocalHost.create();
  writePackageSchemas();
  const language = join(host.programFolder.folder, "language");
  if ((await findPulumiCli())?.hasLanguageHost !== true) await installLanguageHost(language, host.nodePath);
  programFolder = {
    ...host.programFolder,
    env: { ...host.programFolder.env, PATH: [language, host.programFolder.env["PATH"]].join(delimiter) },
  };
});
afterAll(() => host?.remove());

/** Declares a component as a generated SDK does. */
class Foreign extends pulumi.ComponentResource {
  constructor(className: string, name: string, inputs: pulumi.Inputs, outputs: readonly string[]) {
    super(
      `pgbackstop:index:${className}`,
      name,
      { ...inputs, ...Object.fromEntries(outputs.map((key) => [key, undefined])) },
      {},
      true,
    );
  }

  output(key: string): pulumi.Output<unknown> {
    return Object.entries(this).find(([name]) => name === key)?.[1] as pulumi.Output<unknown>;
  }
}

function open(declare: () => Record<string, unknown>): Promise<Stack> {
  return openStack(programFolder, "foreign", async () => declare(), {
    packages: { pgbackstop: "./node_modules/pgbackstop/plugin" },
  });
}

function program(keepDays: unknown = 7): Record<string, unknown> {
  const { dataDirectory, nasPath, host: machine } = host.settings();
  const key = new Foreign("CipherPassphrase", "key", {}, ["ref", "passphrase"]);
  const nas = new Foreign("PosixRepository", "nas", { path: nasPath, cipher: key.output("ref") }, [
    "target",
    "location",
  ]);
  const repositories = { repo1: { at: nas.output("target"), keepDays } };
  const args = {
    connection: { local: {} },
    dataDirectory,
    repositories,
    schedules: { full: { cron: "30 2 * * *" } },
    ...machine,
  };
  const database = new Foreign("PostgresHost", "db", args, ["firstBackup", "destinations", "topology"]);
  return {
    location: nas.output("location"),
    firstBackup: database.output("firstBackup"),
    topology: database.output("topology"),
  };
}

// claim: docs/languages.md: components used from another language's process, by tokens and outputs alone (where
//   Pulumi's own host for Node.js is missing a double starts the plugin)
test("a first preview shows the known values, and says which ones the update decides", async () => {
  const { stdout, changeSummary } = await (await open(program)).preview();
  expect(stdout).toContain("db: this preview does not know repositories.repo1.at yet");
  // The stack, three components and the passphrase. The provider does not count.
  expect(changeSummary).toEqual({ create: 5 });
});

// claim: docs/languages.md: components used from another…
test("an update creates the same as in TypeScript, and a second one changes nothing", async () => {
  const stack = await open(program);
  const { outputs, summary } = await stack.up();
  expect(summary.resourceChanges).toEqual({ create: 6 });
  expect(outputs["location"]).toMatchObject({ value: host.nasPath });
  expect(outputs["firstBackup"]).toMatchObject({ value: "taken" });
  expect(readFileSync(host.path("etc", "conf.d", "repo1-credentials.conf"), "utf8")).toMatch(
    /repo1-cipher-pass=\S{64}/,
  );
  // The target contains a passphrase, so it is secret as a whole, and so is everything made from it.
  expect(outputs["topology"]).toMatchObject({ secret: true });
  expect(JSON.parse(String(outputs["topology"]?.value))).toMatchObject({
    repositories: [{ location: host.nasPath, encrypted: true, keepDays: 7 }],
  });
  expect((await stack.up()).summary.resourceChanges).toEqual({ same: 6 });
});

// claim: docs/languages.md: the plugin makes passphrases itself; other dynamic resources need Node.js packages in the
//   project
test.runIf(NIGHTLY)(
  "where a program has no Node.js packages, the plugin itself makes passphrases, but the engine no hosts",
  async () => {
    const folder = host.path("elsewhere");
    for (const name of ["home", "state", "cli/bin"]) mkdirSync(join(folder, name), { recursive: true });
    symlinkSync(join(host.programFolder.folder, "cli", "bin", "pulumi"), join(folder, "cli", "bin", "pulumi"));
    const env = {
      ...programFolder.env,
      // The SDK's own plugin, which looks for its packages here.
      PATH: [join(programFolder.folder, "node_modules", "@pulumi", "pulumi"), programFolder.env["PATH"]].join(
        delimiter,
      ),
      PULUMI_HOME: join(folder, "home"),
      PULUMI_BACKEND_URL: `file://${join(folder, "state")}`,
    };
    const plugin = join(programFolder.folder, "node_modules", "pgbackstop", "plugin");
    const openThere = (declare: () => Record<string, unknown>): Promise<Stack> =>
      openStack({ folder, env }, "elsewhere", async () => declare(), { packages: { pgbackstop: plugin } });
    const encrypted = (): Record<string, unknown> => {
      const key = new Foreign("CipherPassphrase", "key", {}, ["ref", "passphrase"]);
      const nas = new Foreign("PosixRepository", "nas", { path: "/srv/nas", cipher: key.output("ref") }, ["target"]);
      return { passphrase: key.output("passphrase"), target: nas.output("target") };
    };
    const stack = await openThere(encrypted);
    const { outputs, summary } = await stack.up();
    expect(summary.resourceChanges).toEqual({ create: 4 });
    const passphrase = String(outputs["passphrase"]?.value);
    expect(outputs["passphrase"]).toMatchObject({ secret: true, value: expect.stringMatching(/^\S{64}$/) });
    const state = readFileSync(
      join(folder, "state", ".pulumi", "stacks", "pgbackstop-local", "elsewhere.json"),
      "utf8",
    );
    expect(state).toContain("$pgbackstop:index:Passphrase::key-passphrase");
    expect(state).not.toContain(passphrase);
    await stack.refresh();
    const again = await stack.up();
    expect(again.summary.resourceChanges).toEqual({ same: 4 });
    expect(again.outputs["passphrase"]?.value).toBe(passphrase);
    expect(await failureOf((await openThere(program)).up())).toContain(
      "Cannot find module '@pulumi/pulumi/cmd/dynamic-provider'",
    );
  },
);

// claim: docs/languages.md: components used from another…
test.runIf(NIGHTLY)(
  "mistakes are reported as in TypeScript, and so are an unknown argument and a missing one",
  async () => {
    expect(await failureOf(open(() => program(0)).then((stack) => stack.preview()))).toContain(
      "repositories.repo1.keepDays",
    );
    const misspelt = (): Record<string, unknown> => ({
      nas: new Foreign("PosixRepository", "nas", { pth: "/mnt" }, []).urn,
    });
    expect(await failureOf(open(misspelt).then((stack) => stack.preview()))).toContain(
      "PosixRepository has no field 'pth'",
    );
    const incomplete = (): Record<string, unknown> => ({
      db: new Foreign("CnpgRestore", "db", { namespace: "db", repositories: {}, source: { repositories: {} } }, []).urn,
    });
    const failure = await failureOf(open(incomplete).then((stack) => stack.preview()));
    for (const path of ["storageGiB", "source.stanza"])
      expect(failure).toContain(`PB118 ${path}: it is required, and not given`);
  },
);

// claim: docs/languages.md: components used from another…
test("two hosts with one stanza in one repository are an error, as in TypeScript", async () => {
  const twice = (): Record<string, unknown> => {
    const { host: machine } = host.settings();
    const repositories = { repo1: { at: { name: "store", path: "/srv/store" }, keepDays: 7 } };
    const schedules = { full: { cron: "30 2 * * *" } };
    const args = { connection: { local: {} }, repositories, schedules, stanza: "orders", ...machine };
    const hosts = ["a", "b"].map((name) => {
      const directories = Object.fromEntries(
        Object.entries(machine?.directories ?? {}).map(([kind, path]) => [kind, `${path}/${name}`]),
      );
      return new Foreign("PostgresHost", name, { ...args, directories, dataDirectory: `/srv/${name}` }, []);
    });
    return { urns: hosts.map(({ urn }) => urn) };
  };
  expect(await failureOf(open(twice).then((stack) => stack.preview()))).toMatch(
    /PB195 repositories\.repo1\.at: this repository with this stanza is also that of PostgresHost [ab]/,
  );
});
