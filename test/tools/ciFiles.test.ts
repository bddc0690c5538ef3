/**
 * The action for GitHub and the component for GitLab, by the published rules for such files. test/engine/ci.test.ts
 * runs them.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { projectFolder } from "../../tools/parts/cache";
import { fillComponent, parseYaml, readAction, readComponent } from "../harness/ciJobs";

const ACTIONS = readdirSync(join(projectFolder(), "actions"));
const COMPONENTS = readdirSync(join(projectFolder(), "templates")).map((name) => name.replace(/\.yml$/, ""));
const keysOf = (value: object): string[] => Object.keys(value).sort();

/** "Metadata syntax for GitHub Actions", as far as it is about composite actions. */
const STEP_KEYS = ["continue-on-error", "env", "id", "if", "name", "run", "shell", "working-directory"];

describe.each(ACTIONS)("the action %s", (name) => {
  const action = readAction(name);
  const { steps } = action.runs;
  const text = JSON.stringify(action.runs);

  test("has only fields of a composite action", () => {
    expect(
      keysOf(action).filter((key) => !["author", "description", "inputs", "name", "outputs", "runs"].includes(key)),
    ).toEqual([]);
    expect([keysOf(action.runs), action.runs.using]).toEqual([["steps", "using"], "composite"]);
    expect(steps.flatMap((step) => keysOf(step).filter((key) => !STEP_KEYS.includes(key)))).toEqual([]);
    expect(steps.map(({ shell }) => shell)).toEqual(steps.map(() => "bash"));
    for (const [key, input] of Object.entries(action.inputs)) {
      expect(keysOf(input).filter((field) => !["default", "description", "required"].includes(field))).toEqual([]);
      expect([typeof input.description, typeof (input.default ?? ""), key]).toEqual([
        "string",
        "string",
        expect.stringMatching(/^[a-z][a-z-]*$/),
      ]);
      expect(input.required === true).toBe(input.default === undefined);
    }
  });

  test("uses every input, and nothing that does not exist", () => {
    const used = [...text.matchAll(/\binputs\.([\w-]+)/g)].map(([, input]) => input);
    expect(new Set(used)).toEqual(new Set(keysOf(action.inputs)));
    const outputs = `${text}${JSON.stringify(action.outputs ?? {})}`;
    for (const [, id, output] of outputs.matchAll(/\bsteps\.([\w-]+)\.outputs\.([\w-]+)/g))
      expect(steps.find((step) => step.id === id)?.run, `${id}.${output}`).toContain(`echo "${output}=`);
  });

  test("puts no value into the text of a script", () => {
    for (const { run } of steps) {
      expect(run).not.toContain("${{");
      execFileSync("bash", ["-n", "-c", run]);
    }
  });
});

describe.each(COMPONENTS)("the component %s", (name) => {
  const component = readComponent(name);

  test("has inputs with descriptions, and uses all of them", () => {
    const fields = ["default", "description", "options", "regex", "type"];
    for (const input of Object.values(component.inputs)) {
      expect(keysOf(input).filter((field) => !fields.includes(field))).toEqual([]);
      expect(input.description).toMatch(/\.$/);
    }
    const used = [...component.text.matchAll(/\$\[\[ inputs\.([\w-]+) \]\]/g)].map(([, input]) => input);
    expect(new Set(used)).toEqual(new Set(keysOf(component.inputs)));
  });

  test("installs Pulumi from an archive with a known digest, and from no other", async () => {
    const setup = String(component.inputs["setup"]?.default);
    const home = mkdtempSync(join(tmpdir(), "setup-"));
    try {
      writeFileSync(join(home, "curl"), '#!/bin/sh\necho "$3" >url; echo forged >"$2"\n', { mode: 0o755 });
      const env = { HOME: home, PATH: `${home}:${process.env["PATH"]}` };
      const { status, stderr } = spawnSync("sh", ["-c", setup], { env, encoding: "utf8" });
      expect([status, stderr]).toEqual([1, expect.stringContaining("did NOT match")]);
      expect(readFileSync(join(home, ".pulumi/url"), "utf8")).toMatch(
        /^https:\/\/get\.pulumi\.com\/releases\/sdk\/pulumi-v\d+\.\d+\.\d+-linux-(x64|arm64)\.tar\.gz\n$/,
      );
      expect(readdirSync(join(home, ".pulumi/bin"))).toEqual([]);
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  });

  test("has one job, whose values stay out of the script", () => {
    const job = fillComponent(component, { stack: "pr'o\"d: #1", install: "npm ci && echo \"$HOME: 'x' # y\"" });
    const keys = ["artifacts", "image", "rules", "script", "stage", "variables"];
    expect(keysOf(job).filter((key) => !keys.includes(key))).toEqual([]);
    const values = Object.values(job.variables);
    expect(values.map(({ value }) => value)).toEqual(
      expect.arrayContaining(["pr'o\"d: #1", "npm ci && echo \"$HOME: 'x' # y\""]),
    );
    expect(values.every(({ expand }) => !expand)).toBe(true);
    expect(component.text.slice(component.text.indexOf("  script:"))).not.toContain("$[[");
    execFileSync("sh", ["-n", "-c", job.script.join("\n")]);
  });
});

test("no file for CI and no page pipes a download into a shell", () => {
  const folders = ["templates", "actions", "docs", "examples"];
  const files = execFileSync("git", ["ls-files", ...folders], { cwd: projectFolder(), encoding: "utf8" });
  const piping = files
    .split("\n")
    .filter((path) => path !== "" && /(curl|wget)[^\n|]*\|\s*(sudo\s+)?(ba|da)?sh\b/.test(read(path)));
  expect(piping).toEqual([]);
});

const read = (path: string): string => readFileSync(join(projectFolder(), path), "utf8");

/** An action's step of a workflow, or an included file of a pipeline. */
interface Use {
  readonly uses?: string;
  readonly remote?: string;
  readonly with?: object;
  readonly inputs?: object;
}

/** Every object below `value`. */
function objectsIn(value: unknown): Use[] {
  if (typeof value !== "object" || value === null) return [];
  return [value, ...Object.values(value).flatMap(objectsIn)];
}

/** The YAML of a document's blocks, or of a file. */
function yamlOf(path: string): Use[] {
  const blocks = path.endsWith(".md") ? [...read(path).matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) => text) : [];
  return (path.endsWith(".md") ? blocks : [read(path)]).flatMap((text) => objectsIn(parseYaml(text ?? "")));
}

// claim: docs/ci.md: the action and the component come with the npm package, in its version (that a runner finds an
//   action below node_modules is GitHub's documentation; no runner is here)
test.each(["README.md", "docs/ci.md", "examples/ci/github-actions.yml", "examples/ci/gitlab-ci.yml"])(
  "%s takes the files of the npm package, in this version, with their inputs",
  (path) => {
    const { files, version } = JSON.parse(read("package.json")) as { files: string[]; version: string };
    const used = yamlOf(path).flatMap(({ inputs, remote, uses = "", with: given }) => {
      const [, action] = /^\.\/node_modules\/pgbackstop\/(.+)$/.exec(uses) ?? [];
      const [, component] = /^https:\/\/cdn\.jsdelivr\.net\/npm\/pgbackstop@(.+)$/.exec(remote ?? "") ?? [];
      if (action !== undefined)
        return [{ file: `${action}/action.yml`, given: given ?? {}, known: readAction(action.slice(8)).inputs }];
      if (remote === undefined) return [];
      const [named, ...rest] = (component ?? remote).split("/");
      expect(named).toBe(version);
      const name = rest.at(-1)?.replace(/\.yml$/, "") ?? "";
      return [{ file: rest.join("/"), given: inputs ?? {}, known: readComponent(name).inputs }];
    });
    expect(used.length).toBeGreaterThan(0);
    for (const { file, given, known } of used) {
      expect(files, file).toContain(file.split("/")[0]);
      expect(existsSync(join(projectFolder(), file)), file).toBe(true);
      expect(keysOf(known), file).toEqual(expect.arrayContaining(keysOf(given)));
      for (const [key, input] of Object.entries(known))
        if (input.default === undefined) expect(given).toHaveProperty(key);
    }
  },
);
