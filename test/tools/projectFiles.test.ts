/**
 * What npm and GitHub read. The owner stands in package.json, and other files must not name one. Workflows are judged
 * by GitHub's advice for a safe use of actions; actionlint judges their syntax in CI.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { NODE_IMAGE } from "../../components/plan/cluster/images";
import { canRunRuntime, NODE_MINOR_MIN } from "../../runtime/base/nodeVersion";
import { projectFolder } from "../../tools/parts/cache";
import { TIERS } from "../../tools/parts/tiers";
import { parseYaml } from "../harness/ciJobs";

interface Manifest {
  readonly version: string;
  readonly repository: { readonly url: string };
  readonly homepage: string;
  readonly bugs: { readonly url: string };
  readonly engines: { readonly node: string };
  readonly dependencies: Readonly<Record<string, string>>;
}

const read = (path: string): string => readFileSync(join(projectFolder(), path), "utf8");
const MANIFEST = JSON.parse(read("package.json")) as Manifest;
const [, OWNER = "", NAME = ""] =
  /^git\+https:\/\/github\.com\/([^/]+)\/([^/]+)\.git$/.exec(MANIFEST.repository.url) ?? [];
const TEXT = /\.(md|ts|mjs|json|yml|yaml)$|^(Dockerfile|\.github\/CODEOWNERS)$/;
const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: projectFolder(),
  encoding: "utf8",
});
const PATHS = listed
  .split("\n")
  .filter((path) => TEXT.test(path) && !path.startsWith("test/vectors/") && existsSync(join(projectFolder(), path)));

/** Where a text names an owner of this repository or of its image. */
function ownersIn(text: string): string[] {
  return [...text.matchAll(/\b(?:github\.com|ghcr\.io)[/:]([\w.-]+)\/pgbackstop\b/g)].map(([, owner = ""]) => owner);
}

describe("the owner and the repository", () => {
  test("are in package.json", () => {
    expect([OWNER, NAME]).toEqual([expect.stringMatching(/./), "pgbackstop"]);
    expect(MANIFEST.homepage).toBe(`https://github.com/${OWNER}/${NAME}#readme`);
    expect(MANIFEST.bugs.url).toBe(`https://github.com/${OWNER}/${NAME}/issues`);
  });

  test("are named by no other file", () => {
    const text = "see https://github.com/acme/pgbackstop/issues and ghcr.io/umbrella/pgbackstop";
    expect(ownersIn(text)).toEqual(["acme", "umbrella"]);
    const naming = ["package.json", "packages/migration/package.json", "test/tools/projectFiles.test.ts"];
    const others = PATHS.filter((path) => !naming.includes(path));
    expect(others.flatMap((path) => ownersIn(read(path)).map((owner) => `${path}: ${owner}`))).toEqual([]);
  });

  test("are the same in the package that builds on this one, and so is the version", () => {
    const { bugs, homepage, peerDependencies, repository, version } = JSON.parse(
      read("packages/migration/package.json"),
    ) as Manifest & { readonly peerDependencies: Readonly<Record<string, string>> };
    expect([version, peerDependencies["pgbackstop"]]).toEqual([MANIFEST.version, MANIFEST.version]);
    expect(repository.url).toBe(MANIFEST.repository.url);
    expect(bugs.url).toBe(MANIFEST.bugs.url);
    expect(homepage).toContain(`https://github.com/${OWNER}/${NAME}/`);
  });

  test("are those of CODEOWNERS, which GitHub reads as it is", () => {
    expect(read(".github/CODEOWNERS").match(/@[\w./-]+/g)).toEqual([`@${OWNER}`]);
  });
});

describe("the version of Node.js", () => {
  const minors = Object.entries(NODE_MINOR_MIN);

  // claim: docs/versioning.md: one version of Node.js in `engines`, pages and messages; Pulumi's SDK as a range
  //   (promises about later versions need later versions; provenance and signature need npm and a registry)
  test("in package.json is what the runtime accepts", () => {
    const versions = minors.map(([major, minor]) => `${major}.${minor}.0`);
    expect(MANIFEST.engines.node).toBe(
      versions.map((version, at) => `${at === 0 ? "^" : ">="}${version}`).join(" || "),
    );
  });

  test("of this project's own commands is what the runtime accepts", () => {
    const [text = ""] = /^function isEngine\([\s\S]*?^}/m.exec(read("tools/run.mjs")) ?? [];
    const isEngine = runInNewContext(`(${text})`) as (version: string, engines: string) => boolean;
    const versions = ["20.20.2", "22.14.9", "22.15.0", "22.20.1", "23.0.0", "23.7.9", "23.8.0", "24.0.0", "100.1.0"];
    for (const version of versions)
      expect(isEngine(version, MANIFEST.engines.node), version).toBe(canRunRuntime(version));
    expect(versions.filter(canRunRuntime)).toEqual(["22.15.0", "22.20.1", "23.8.0", "24.0.0", "100.1.0"]);
  });

  // claim: docs/versioning.md: one version of Node.js…
  test("is the same on every page and in every message", () => {
    const [oldest = []] = minors;
    const said = PATHS.flatMap((path) =>
      [...read(path).matchAll(/\bNode(?:\.js)? (\d[\d.]*) or newer/g)].map(([, version]) => ({ path, version })),
    );
    expect(said.length).toBeGreaterThan(5);
    expect(said.filter(({ version }) => version !== oldest.join("."))).toEqual([]);
  });
});

test("Pulumi's packages are ranges, so that npm installs one SDK for a program and its components", () => {
  for (const name of ["@pulumi/pulumi", "@pulumi/command"])
    expect(MANIFEST.dependencies[name], name).toMatch(/^\^\d+\.\d+\.\d+$/);
});

test("pages and files for CI name this version of the packages, and an upgrade names both", () => {
  const pages = PATHS.filter((path) => !/(^|\/)test\/|^CHANGELOG\.md$/.test(path));
  const named = pages.flatMap((path) =>
    [...read(path).matchAll(/\bpgbackstop(?:-migration|\.git\/pulumi)?@(\d[\w.-]*)/g)].map(([, version]) => ({
      path,
      version,
    })),
  );
  const expected = ["actions/topology/action.yml", "docs/ci.md", "docs/languages.md", "templates/topology.yml"];
  expect(named.map(({ path }) => path)).toEqual(expect.arrayContaining(expected));
  expect(named.filter(({ version }) => version !== MANIFEST.version)).toEqual([]);
  const [first, ...installs] = read("docs/upgrading.md").match(/npm install [^`\n#]+/g) ?? [];
  expect(first?.trim()).toBe("npm install pgbackstop@latest");
  expect(installs.length).toBeGreaterThan(0);
  for (const install of installs) expect(install).toMatch(/^npm install pgbackstop@(\w+) pgbackstop-migration@\1\s*$/);
});

test("CONTRIBUTING.md has the command that judges the workflows", () => {
  const runs = workflow("tests.yml").jobs["check"]?.steps?.flatMap(({ run = "" }) => run) ?? [];
  const command = runs.find((run) => run.includes("actionlint")) ?? "";
  expect(command).toMatch(/^go run .*actionlint@v[\d.]+$/);
  expect(read("CONTRIBUTING.md")).toContain(`\`${command}\``);
});

test("the folder that Pulumi clones from git installs this version", () => {
  const { dependencies } = JSON.parse(read("pulumi/package.json")) as { dependencies: Record<string, string> };
  expect(dependencies).toEqual({ pgbackstop: MANIFEST.version });
});

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}
interface Job {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly uses?: string;
  readonly steps?: readonly Step[];
  readonly "timeout-minutes"?: unknown;
  readonly strategy?: { readonly matrix: { readonly tier: readonly string[] } };
  readonly container?: { readonly image: string };
}
interface Workflow {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

const WORKFLOWS = ".github/workflows";
const workflow = (name: string): Workflow => parseYaml(read(`${WORKFLOWS}/${name}`)) as Workflow;
/** The jobs that may write, and what. */
const WRITERS = {
  "release.yml image": { packages: "write", "id-token": "write" },
  "release.yml npm": { "id-token": "write" },
  "release.yml notes": { contents: "write" },
};

describe.each(readdirSync(join(projectFolder(), WORKFLOWS)))("the workflow %s", (name) => {
  const { jobs, permissions } = workflow(name);
  const steps = Object.values(jobs).flatMap((job) => job.steps ?? []);

  test("pins every action by commit, with its version beside it", () => {
    for (const line of read(`${WORKFLOWS}/${name}`)
      .split("\n")
      .filter((text) => /\buses:/.test(text)))
      expect(line).toMatch(/uses: (\.\/\S+|[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$/);
  });

  test("has the least permissions", () => {
    expect([{}, { contents: "read" }]).toContainEqual(permissions);
    const writers = Object.entries(jobs)
      .filter(([, job]) => Object.values(job.permissions ?? {}).includes("write"))
      .map(([job, { permissions: given }]) => [`${name} ${job}`, given]);
    const known = Object.entries(WRITERS).filter(([job]) => job.startsWith(`${name} `));
    expect(writers).toEqual(known);
  });

  test("puts no value into the text of a script, keeps no token, and ends", () => {
    for (const { run = "", uses = "", with: given } of steps) {
      expect(run).not.toContain("${{");
      execFileSync("bash", ["-n", "-c", run]);
      if (uses.startsWith("actions/checkout@")) expect(given?.["persist-credentials"]).toBe(false);
    }
    for (const [job, { uses, "timeout-minutes": timeout }] of Object.entries(jobs))
      expect(uses ?? timeout, job).toBeDefined();
  });
});

test("the workflow of the tests runs every tier, on the image of the pods", () => {
  const { strategy, container } = workflow("tests.yml").jobs["tier"] ?? {};
  expect(strategy?.matrix.tier.toSorted()).toEqual(TIERS.map(({ name }) => name).toSorted());
  expect(container?.image).toBe(NODE_IMAGE);
});

test("every job in a container trusts the checkout, which another account owns, and has the tags of releases", () => {
  const inContainers = readdirSync(join(projectFolder(), WORKFLOWS)).flatMap((name) =>
    Object.entries(workflow(name).jobs).filter(([, { container }]) => container !== undefined),
  );
  expect(inContainers.length).toBeGreaterThan(0);
  for (const [job, { steps = [] }] of inContainers) {
    const checkout = steps.findIndex(({ uses = "" }) => uses.startsWith("actions/checkout@"));
    expect(steps[checkout]?.with?.["fetch-depth"], job).toBe(0);
    expect(steps[checkout + 1]?.run, job).toBe('git config --global --add safe.directory "$GITHUB_WORKSPACE"');
  }
});

test("a repeated job publishes only the packages that npm lacks", () => {
  const [script = ""] = workflow("release.yml").jobs["npm"]?.steps?.flatMap(({ run = [] }) => run) ?? [];
  const published = (...there: string[]): string[] => {
    const folder = mkdtempSync(join(tmpdir(), "npm-"));
    try {
      // As npm answers: nothing for another version, an error for an unknown package.
      const npm = `#!/bin/sh
case "$1" in
view) case " ${there.join(" ")} " in *" $2 "*) echo "\${2##*@}" ;; *) echo E404 >&2; exit 1 ;; esac ;;
*) echo "$*" >>${folder}/log ;;
esac
`;
      writeFileSync(join(folder, "npm"), npm, { mode: 0o755 });
      writeFileSync(join(folder, "log"), "");
      const env = { PATH: `${folder}:${process.env["PATH"]}`, GITHUB_REF_NAME: "v0.1.0" };
      execFileSync("bash", ["-e", "-o", "pipefail", "-c", script], { env, stdio: "pipe" });
      return readFileSync(join(folder, "log"), "utf8").trim().split("\n");
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
  const [first, second] = ["pgbackstop", "pgbackstop-migration"].map(
    (name) => `publish ./release/${name}-0.1.0.tgz --provenance --access public`,
  );
  expect(published()).toEqual([first, second]);
  expect(published("pgbackstop@0.0.9")).toEqual([first, second]);
  expect(published("pgbackstop@0.1.0")).toEqual([second]);
  expect(published("pgbackstop@0.1.0", "pgbackstop-migration@0.1.0")).toEqual([""]);
});
