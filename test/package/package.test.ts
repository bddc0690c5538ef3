/**
 * The packed archive in a separate project: installed by npm, compiled against its declarations, run on the real
 * engine. Here dynamic providers really load by the package's name. `foreign` has the programs of users.
 */
// claim: README.md: the package works in a foreign project
import { NIGHTLY } from "../../tools/parts/nightly";
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { projectFolder } from "../../tools/parts/cache";
import { ensureNode } from "../../tools/parts/nodeBinary";
import { run, runOk } from "../../tools/parts/process";
import { LocalHost } from "../engine/localHost";
import { writePolicyPack } from "../harness/doubles/languageHostDouble";
import { liveBucket } from "../harness/real/liveBucket";
import { engineEnvironment, ProviderDouble } from "../harness/doubles/providerDouble";
import { AWS, KUBERNETES } from "../harness/doubles/providerSchemas";
import { FOREIGN, ForeignProject, OWN, type Project, type Result, type Versions } from "./foreignProject";

/** Programs that import `@pulumi/kubernetes`, which is installed after the tests that need none. */
const ON_KUBERNETES = ["attach.ts", "clusters.ts"];
const BUCKET = "acme-backups";

interface ObjectInputs {
  readonly kind: string;
  readonly metadata: { readonly labels?: Versions };
  readonly spec?: Record<string, unknown>;
}

let project: ForeignProject;
let host: LocalHost;
let env: Versions;
let aws: ProviderDouble;
let kubernetes: ProviderDouble;

beforeAll(async () => {
  project = await ForeignProject.create();
  host = await LocalHost.create();
  aws = await ProviderDouble.start(AWS, { live: { "aws:s3/bucket:Bucket": liveBucket(host.s3, "bucket") } });
  kubernetes = await ProviderDouble.start(KUBERNETES);
  env = await project.useEngine(engineEnvironment([aws, kubernetes]));
});
afterAll(async () => {
  aws?.stop();
  kubernetes?.stop();
  await host?.remove();
  project?.remove();
});

function pulumi(action: string, protect: boolean | null): Promise<Result> {
  const { bucket, dataDirectory, host: machine } = host.settings();
  const { accessKeyId, secretAccessKey, ...location } = bucket;
  return project.runProgram("platform", action, {
    share: host.nasPath,
    bucket: { ...location, name: BUCKET },
    accessKeyId,
    secretAccessKey,
    dataDirectory,
    host: machine,
    protect,
  });
}

// claim: docs/ci.md: the action and the component come…
test("the package installs one copy of everything, and no more than it states", async () => {
  const files = (await runOk("tar", ["-tzf", project.tarball])).trim().split("\n");
  expect(files).toContain("package/dist/runtime.cjs");
  expect(files).toContain("package/dist/components/dynamic/host.js");
  for (const name of [
    "schema",
    "notify.schema",
    "render.schema",
    "report.schema",
    "settings.schema",
    "topology.schema",
  ])
    expect(files).toContain(`package/dist/${name}.json`);
  for (const name of ["docs/troubleshooting.md", "actions/topology/action.yml", "templates/topology.yml"])
    expect(files).toContain(`package/${name}`);
  expect(
    files.filter(
      (file) =>
        !/^package\/(dist\/|plugin\/|actions\/|templates\/|package\.json$|Dockerfile$|LICENSE$|README\.md$|CHANGELOG\.md$|SECURITY\.md$|docs\/troubleshooting\.md$)/.test(
          file,
        ),
    ),
  ).toEqual([]);
  expect(existsSync(join(project.folder, "node_modules", "pgbackstop", "node_modules"))).toBe(false);
});

test("a strict project compiles against its declarations, and mistakes are compile errors", async () => {
  const programs = readdirSync(FOREIGN).filter((name) => name.endsWith(".ts") && !ON_KUBERNETES.includes(name));
  const wrong = 'import { PosixRepository } from "pgbackstop";\nnew PosixRepository("x", { pth: "/mnt" });\n';
  const errors = await project.compile(programs, { "wrong.ts": wrong });
  expect(errors).toMatch(/^wrong\.ts\(2,\d+\): error .*'pth' does not exist in type 'PosixRepositoryArgs'/);
  expect(errors.match(/: error /g)).toHaveLength(1);
});

test("without the optional package of Kubernetes, its objects name the command that installs it", async () => {
  const script = `const pulumi = require("@pulumi/pulumi"); const { CnpgPlugin } = require("pgbackstop");
    const mocks = { call: () => ({}), newResource: ({ name, inputs }) => ({ id: name, state: inputs }) };
    pulumi.runtime.setMocks(mocks).then(() => new CnpgPlugin("plugin")).catch(({ message }) => console.log(message));`;
  const { stdout } = await run(await ensureNode(), ["-e", script], { cwd: project.folder });
  expect(stdout).toMatch(
    /needs the package @pulumi\/kubernetes, which is not installed: npm install @pulumi\/kubernetes@\^4$/m,
  );
});

// claim: examples/README.md: projects: each project compiles under its own strict settings with the packed package, and
//   its package.json names what it needs
test("each example compiles with the package, under its own strict settings, and names what it needs", async () => {
  const examples = join(projectFolder(), "examples");
  const sources: Readonly<Record<string, string>> = {
    ...Object.fromEntries(readdirSync(examples).map((name) => [name, join(examples, name)])),
    migration: join(projectFolder(), "packages", "migration", "example"),
  };
  const names = Object.keys(sources).filter((name) => existsSync(join(sources[name] ?? "", "package.json")));
  const own = { pgbackstop: OWN.version, "pgbackstop-migration": OWN.version };
  const versions: Versions = { ...OWN.devDependencies, ...OWN.dependencies, ...own };
  await project.install(`file:${project.migrationTarball}`);
  await project.install(...["@pulumi/hcloud", "@pulumi/tls"].map((name) => `${name}@${versions[name] ?? ""}`));
  for (const name of names) {
    const source = sources[name] ?? "";
    cpSync(source, join(project.folder, "examples", name), { recursive: true });
    const read = (file: string): string => readFileSync(join(source, file), "utf8");
    const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Project;
    for (const [wanted, version] of Object.entries({ ...dependencies, ...devDependencies }))
      expect(`${name}: ${wanted} ${version}`).toBe(`${name}: ${wanted} ^${versions[wanted]?.replace("^", "") ?? ""}`);
    const programs = readdirSync(source).filter((file) => file.endsWith(".ts"));
    const imported = programs.flatMap((file) => read(file).match(/(?<=from ")[^."][^"]*(?=")/g) ?? []);
    expect(Object.keys(dependencies), name).toEqual(expect.arrayContaining(imported));
    // One set of settings compiles all of them at once.
    expect(read("tsconfig.json"), name).toBe(
      readFileSync(join(sources[names[0] ?? ""] ?? "", "tsconfig.json"), "utf8"),
    );
  }
  expect(names.length).toBeGreaterThan(8);
  const settings = { extends: `./examples/${names[0] ?? ""}/tsconfig.json`, include: ["examples/*/*.ts"] };
  writeFileSync(join(project.folder, "tsconfig.examples.json"), JSON.stringify(settings));
  const compiled = await project.tsc("-p", "tsconfig.examples.json");
  expect(compiled.stdout).toBe("");
});

// claim: packages/migration/README.md: the package is installed beside the other one, and starts as a command
test("the package that builds on it works beside it, without parts of its own in the other one", async () => {
  const files = (await runOk("tar", ["-tzf", project.migrationTarball])).trim().split("\n");
  expect(
    files.filter((file) => !/^package\/(dist\/|docs\/|plugin\/|package\.json$|LICENSE$|README\.md$)/.test(file)),
  ).toEqual([]);
  expect(files).toContain("package/dist/schema.json");
  expect((await runOk("tar", ["-tzf", project.tarball])).split("\n").filter((file) => /migrat/i.test(file))).toEqual(
    [],
  );
  const programs = join(project.folder, "node_modules", ".bin", "pgbackstop-migration");
  const { stdout } = await run(await ensureNode(), [programs, "version"], { cwd: project.folder });
  expect(stdout).toBe(`pgbackstop-migration ${OWN.version}\n`);
  const script = `const { Migration } = require("pgbackstop-migration"); console.log(typeof Migration);`;
  expect((await run(await ensureNode(), ["-e", script], { cwd: project.folder })).stdout).toBe("function\n");
});

test("a preview shows known values and marks the others", async () => {
  const { changes, stdout, stderr, error } = await pulumi("preview", null);
  expect(error).toBeUndefined();
  expect(changes).toEqual({ create: 12 });
  // Only the share's path is unknown. The rest of the topology is known.
  expect(stdout).toMatch(/location\s*: \[?(output<string>|unknown)/);
  expect(stdout).toMatch(/location\s*: "s3:\/\/acme-backups\/pgbackrest"/);
  for (const code of ["PB006 repositories.repo2", "PB012 schedules", "PB021 acknowledge.mode"])
    expect(stderr).toContain(code);
});

test.runIf(NIGHTLY)(
  "up and destroy work there; the passphrase is protected until the program says otherwise",
  async () => {
    const made = await pulumi("up", null);
    expect(made.error).toBeUndefined();
    expect(made.changes).toEqual({ create: 12 });
    expect(made.outputs?.["firstBackup"]).toBe("taken");
    expect(JSON.parse(made.outputs?.["topology"] ?? "")).toMatchObject({
      repositories: [{ location: host.nasPath, encrypted: true }, { encrypted: true }],
    });
    expect((await pulumi("up", null)).changes).toEqual({ same: 12 });

    const credentials = host.path("etc", "conf.d", "repo1-credentials.conf");
    const before = readFileSync(credentials, "utf8");
    expect(before).toContain("repo1-cipher-pass=");
    expect((await pulumi("destroy", null)).error).toContain("protected");
    expect((await pulumi("up", false)).error).toBeUndefined();
    expect(readFileSync(credentials, "utf8")).toBe(before);
    const gone = await pulumi("destroy", false);
    expect(gone.error).toBeUndefined();
    expect(gone.changes).toEqual({ delete: 12 });
    expect(aws.only("aws:s3/bucket:Bucket")).toMatchObject({ id: BUCKET, inputs: { tags: { team: "platform" } } });
    expect(aws.configurations).toContainEqual(expect.objectContaining({ region: host.s3.region }));
    expect(existsSync(host.path("etc"))).toBe(false);
    expect(existsSync(join(host.nasPath, "backup", "main", "backup.info"))).toBe(true);
    expect(dirname(host.nasPath)).toBe(host.folder);
  },
);

// claim: docs/kubernetes/fields.md, docs/hosts/repositories.md: components in a user's own project: transforms and
//   providers reach their children, backups attach to a Cluster that the provider names, a database uses another
//   stack's repository
test.runIf(NIGHTLY)(
  "transforms reach a component's children, and a provider given to it makes all of them",
  async () => {
    await project.install("@pulumi/kubernetes@^4.0.0");
    expect(await project.compile(ON_KUBERNETES)).toBe("");
    const made = await project.runProgram("clusters", "up");
    expect(made.error).toBeUndefined();
    expect(kubernetes.configurations).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ context: "east" }),
        expect.objectContaining({ context: "west" }),
      ]),
    );
    const objects = kubernetes.all().map(({ id, inputs }) => ({ ...(inputs as Partial<ObjectInputs>), id }));
    const [orders, ledger] = ["orders", "ledger"].map((name) => objects.filter(({ id }) => id.includes(name)));
    expect(orders?.length).toBeGreaterThan(12);
    expect(ledger?.length).toBe(orders?.length);
    expect(orders?.filter(({ metadata }) => metadata?.labels?.["owner"] !== "platform")).toEqual([]);
    expect(ledger?.filter(({ metadata }) => metadata?.labels?.["owner"] !== undefined)).toEqual([]);
    const priorityOf = (of: typeof objects = []): unknown =>
      of.find(({ kind }) => kind === "Cluster")?.spec?.["priorityClassName"];
    expect([priorityOf(orders), priorityOf(ledger)]).toEqual(["databases", undefined]);

    const providers = Object.entries(made.providers ?? {}).filter(([, urn]) => urn.includes(":kubernetes::"));
    expect(providers.length).toBe(objects.length);
    for (const [name, urn] of providers) expect([name, urn]).toEqual([name, expect.stringContaining(providerOf(name))]);

    expect((await project.runProgram("clusters", "up")).changes).toEqual({ same: made.changes?.["create"] });
    expect((await project.runProgram("clusters", "destroy")).error).toBeUndefined();
    // A patch goes with the object that it is about.
    expect(kubernetes.all().filter(({ type }) => !type.endsWith("Patch"))).toEqual([]);
  },
);

const providerOf = (name: string): string => (name.startsWith("orders") ? "::east::" : "::west::");

// claim: docs/kubernetes/fields.md: components in a user's…
test.runIf(NIGHTLY)(
  "backups attach to a Cluster that the same program makes, with a name of the provider",
  async () => {
    const preview = await project.runProgram("attach", "preview");
    expect(preview.error).toBeUndefined();
    const made = await project.runProgram("attach", "up");
    expect(made.error).toBeUndefined();
    expect(made.outputs?.["made"]).toMatch(/^shop-[0-9a-f]+$/);
    expect(made.outputs?.["attached"]).toBe(made.outputs?.["made"]);
    expect(kubernetes.only("kubernetes:postgresql.cnpg.io/v1:ClusterPatch").inputs).toMatchObject({
      metadata: { name: made.outputs?.["made"], namespace: "shop" },
    });
    // The Cluster is read each time, and has plugins now.
    const { read: _read, ...changes } = (await project.runProgram("attach", "up")).changes ?? {};
    expect(changes).toEqual({ same: made.changes?.["create"] });
    expect((await project.runProgram("attach", "destroy")).error).toBeUndefined();
  },
);

// claim: docs/kubernetes/fields.md: components in a user's…
test.runIf(NIGHTLY)(
  "a database takes its repository out of another stack, and nothing of one that does not exist",
  async () => {
    const { dataDirectory, host: machine } = host.settings();
    const settings = { share: host.path("shared"), dataDirectory, host: machine };
    const before = existsSync(host.path("etc"));
    expect((await project.runProgram("tenant", "preview", settings)).error).toContain(
      'unknown stack "organization/network/dev"',
    );
    const network = await project.runProgram("network", "up", settings);
    expect(network.secrets).toContain("passphrase");
    const made = await project.runProgram("tenant", "up", settings);
    expect(made.error).toBeUndefined();
    expect(made.outputs?.["firstBackup"]).toBe("taken");
    for (const stack of ["network", "tenant"]) {
      const state = readFileSync(join(project.folder, "state", ".pulumi", "stacks", stack, "dev.json"), "utf8");
      expect(state).toContain(host.path("shared"));
      expect(state).not.toContain(network.outputs?.["passphrase"] ?? "no passphrase");
    }
    expect(JSON.parse(made.outputs?.["topology"] ?? "")).toMatchObject({
      repositories: [{ location: host.path("shared"), encrypted: true }],
    });
    expect((await project.runProgram("tenant", "up", settings)).changes).toEqual({ same: made.changes?.["create"] });
    expect((await project.runProgram("tenant", "destroy", settings)).error).toBeUndefined();
    expect((await project.runProgram("network", "destroy", settings)).error).toBeUndefined();
    expect(existsSync(host.path("etc"))).toBe(before);
    expect(existsSync(join(host.path("shared"), "backup", "main", "backup.info"))).toBe(true);
  },
);

test.each([
  [
    "a connection without a host key",
    "hostKey",
    /PB160 connection\.hostKey: there is no host key: any server could answer; set hostKey/,
  ],
  ["an option that pgBackRest does not have", "option", /PB170 options\.compres-level: .*compress-level/],
])("a preview refuses %s", async (_what, mistake, message) => {
  expect((await project.runProgram("mistakes", "preview", { mistake })).error).toMatch(message);
});

// claim: docs/hosts/connection.md: a server and its…
test.runIf(NIGHTLY)("a company's policy refuses a login by password", async () => {
  await project.install(`@pulumi/policy@${OWN.devDependencies["@pulumi/policy"] ?? ""}`);
  const statement = 'require("pgbackstop/policy").backupPolicyPack({ enforcement: { warning: "mandatory" } });';
  const { pack, programs } = writePolicyPack(project.folder, statement);
  const policed = { POLICY_PACK: pack, PATH: [programs, env["PATH"]].join(delimiter) };
  const preview = (mistake: string): Promise<Result> => project.runProgram("mistakes", "preview", { mistake }, policed);
  expect((await preview("none")).error).toBeUndefined();
  const refused = await preview("password");
  expect(refused.error).toMatch(/\[mandatory\] +PB161 .*HostState: ledger/);
  expect(refused.error).toContain("connection.password: a password signs in");
  expect(refused.error).not.toContain('a password"');
});

/** The shortest programs that the documents show, and their most lines. */
const SHORTEST: Readonly<Record<string, readonly number[]>> = {
  "hosts/new-host.md": [8],
  "kubernetes/new-cluster.md": [8],
  "kubernetes/running-cluster.md": [5],
  "kubernetes/restore.md": [5],
};

// claim: docs/hosts/new-host.md, docs/kubernetes/new-cluster.md, docs/kubernetes/running-cluster.md,
//   docs/kubernetes/restore.md: the shortest programs, of at most 8 lines for a host or a cluster and 5 for an
//   attachment or a restore to a time
test.runIf(NIGHTLY)(
  "the documents' shortest programs are short, compile, and their previews show what was chosen",
  async () => {
    const blocks = Object.entries(SHORTEST).flatMap(([page, limits]) => {
      const text = readFileSync(join(projectFolder(), "docs", page), "utf8");
      const shown = [...text.matchAll(/shortest program[^]*?```ts\n([^]*?)```/g)].map(([, block = ""]) => block);
      const lines = shown.map((block) => block.trim().split("\n").length);
      expect(
        lines.map((count, index) => count <= (limits[index] ?? 0)),
        `${page}: ${lines.join()}`,
      ).toEqual(limits.map(() => true));
      return shown;
    });
    await project.install("@pulumi/kubernetes@^4.0.0");
    const [hostText = "", ...clusters] = blocks;
    const names = {
      "docsHost.ts": hostText,
      "docsClusters.ts": ['import { CnpgBackup, CnpgRestore } from "pgbackstop";', ...clusters].join("\n"),
    };
    expect(await project.compile([], names)).toBe("");
    // The attachment's.
    const legacy = { metadata: { name: "legacy", namespace: "db" }, spec: { instances: 2 } };
    const type = "kubernetes:postgresql.cnpg.io/v1:Cluster";
    kubernetes.changeByHand({ type, id: "db/legacy", inputs: legacy, outputs: legacy }, {});
    const chosen = "chosen: a full backup on Sundays and an incremental one on other days at ";
    for (const [program, codes] of [
      ["docsHost", ["PB143 connection"]],
      ["docsClusters", ["PB142 repositories"]],
    ] as const) {
      const { error, stderr, stdout } = await project.runProgram(program, "preview");
      expect(error, program).toBeUndefined();
      for (const text of [chosen, ...codes]) expect(`${stdout}${stderr}`, program).toContain(text);
      expect(`${stdout}${stderr}`, program).not.toContain("PB031");
    }
  },
);
