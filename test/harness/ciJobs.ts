/**
 * Runs the project's files for CI as GitHub's runner and GitLab's do: the shell of their steps, with the variables that
 * these set. A double of the runners: it knows the expressions, inputs and outputs that these files use, and no more.
 */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { projectFolder } from "../../tools/parts/cache";
import { run } from "../../tools/parts/process";

interface Input {
  readonly description?: string;
  readonly required?: boolean;
  readonly default?: string;
}

interface Step {
  readonly id?: string;
  readonly name?: string;
  readonly if?: string;
  readonly shell?: string;
  readonly run: string;
  readonly "working-directory"?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface CompositeAction {
  readonly name: string;
  readonly description: string;
  readonly inputs: Readonly<Record<string, Input>>;
  readonly outputs?: Readonly<Record<string, { readonly description: string; readonly value: string }>>;
  readonly runs: { readonly using: string; readonly steps: readonly Step[] };
}

export interface ComponentJob {
  readonly script: readonly string[];
  readonly variables: Readonly<Record<string, { readonly value: string; readonly expand: boolean }>>;
  readonly rules: readonly { readonly if: string }[];
  readonly artifacts?: { readonly paths: readonly string[] };
}

export interface Component {
  readonly inputs: Readonly<Record<string, { readonly description?: string; readonly default?: string | boolean }>>;
  /** With `$[[ inputs.… ]]` as written. */
  readonly text: string;
}

export interface JobResult {
  readonly exitCode: number;
  readonly log: string;
  readonly outputs: Readonly<Record<string, string>>;
  readonly summary: string;
}

interface Yaml {
  load(text: string): unknown;
}

export function parseYaml(text: string): unknown {
  const yaml = createRequire(createRequire(__filename).resolve("@pulumi/pulumi"))("js-yaml") as Yaml;
  return yaml.load(text);
}

export function readAction(name: string): CompositeAction {
  return parseYaml(readFileSync(join(projectFolder(), "actions", name, "action.yml"), "utf8")) as CompositeAction;
}

/** A component's file is two documents: its inputs, and the jobs. */
export function readComponent(name: string): Component {
  const [head = "", text = ""] = readFileSync(join(projectFolder(), "templates", `${name}.yml`), "utf8").split(
    "\n---\n",
  );
  return { ...(parseYaml(head) as { spec: Pick<Component, "inputs"> }).spec, text };
}

/** The component's only job, with inputs put into its text as GitLab does. @throws Error for a missing input */
export function fillComponent({ inputs, text }: Component, given: Readonly<Record<string, string>>): ComponentJob {
  const filled = text.replace(/\$\[\[ inputs\.([\w-]+) \]\]/g, (_match, name: string) => {
    const value = given[name] ?? inputs[name]?.default;
    if (value === undefined) throw new Error(`the input ${name} is missing`);
    return String(value);
  });
  const [job] = Object.values(parseYaml(filled) as Record<string, ComponentJob>);
  if (job === undefined) throw new Error("the component has no job");
  return job;
}

export interface ActionRun {
  readonly inputs: Readonly<Record<string, string>>;
  /** The context `github`: `{ base_ref: "main", event: { pull_request: { number: 7 } } }`. */
  readonly github: object;
  readonly workspace: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Runs every step; after a failed one none that has no condition, as the runner. */
export async function runAction(action: CompositeAction, job: ActionRun): Promise<JobResult> {
  const temp = mkdtempSync(join(job.workspace, "..", "runner-"));
  const inputs = Object.fromEntries(
    Object.entries(action.inputs).map(([name, input]) => {
      const value = job.inputs[name] ?? evaluateText(input.default ?? "", { github: job.github });
      if (input.required === true && value === "") throw new Error(`the input ${name} is missing`);
      return [name, value];
    }),
  );
  const steps: Record<string, { outputs: Record<string, string> }> = {};
  const context = { inputs, github: job.github, steps };
  let [log, exitCode] = ["", 0];
  for (const [index, step] of action.runs.steps.entries()) {
    if (step.if !== undefined && !isTrue(evaluate(step.if, context))) continue;
    const files = {
      output: join(temp, `output-${index}`),
      summary: join(temp, "summary"),
      script: join(temp, `step-${index}.sh`),
    };
    writeFileSync(files.output, "");
    writeFileSync(files.summary, "", { flag: "a" });
    writeFileSync(files.script, step.run);
    const env = Object.entries(step.env ?? {}).map(([name, text]) => [name, evaluateText(text, context)] as const);
    const result = await run("bash", ["--noprofile", "--norc", "-eo", "pipefail", files.script], {
      cwd: resolve(job.workspace, evaluateText(step["working-directory"] ?? ".", context)),
      env: {
        ...job.env,
        GITHUB_ACTIONS: "true",
        GITHUB_WORKSPACE: job.workspace,
        RUNNER_TEMP: temp,
        GITHUB_OUTPUT: files.output,
        GITHUB_STEP_SUMMARY: files.summary,
        ...Object.fromEntries(env),
      },
    });
    log += result.stdout + result.stderr;
    if (step.id !== undefined) steps[step.id] = { outputs: readOutputs(readFileSync(files.output, "utf8")) };
    exitCode = result.exitCode ?? 1;
    if (exitCode !== 0) break;
  }
  const outputs = Object.entries(action.outputs ?? {}).map(([name, { value }]) => [name, evaluateText(value, context)]);
  return { exitCode, log, outputs: Object.fromEntries(outputs), summary: readFileSync(join(temp, "summary"), "utf8") };
}

/** Runs the job's script in one shell, as the runner does. */
export async function runComponentJob(
  job: ComponentJob,
  { env, workspace }: { readonly env: Readonly<Record<string, string>>; readonly workspace: string },
): Promise<JobResult> {
  const variables = Object.entries(job.variables).map(([name, { value }]) => [name, value]);
  const result = await run("sh", ["-e", "-c", job.script.join("\n")], {
    cwd: workspace,
    env: { ...env, CI_PROJECT_DIR: workspace, GITLAB_CI: "true", ...Object.fromEntries(variables) },
  });
  return { exitCode: result.exitCode ?? 1, log: result.stdout + result.stderr, outputs: {}, summary: "" };
}

type Context = Readonly<Record<string, unknown>>;

function evaluateText(text: string, context: Context): string {
  return text.replace(/\$\{\{ (.*?) \}\}/g, (_match, expression: string) => asText(evaluate(expression, context)));
}

/** `||`, `&&`, `==`, texts in single quotes, and dotted names, in GitHub's precedence and without parentheses. */
function evaluate(expression: string, context: Context): unknown {
  const parts = (operator: string): string[] => expression.split(operator).map((part) => part.trim());
  if (expression.includes("||")) {
    const values = parts("||").map((part) => evaluate(part, context));
    return values.find(isTrue) ?? values.at(-1);
  }
  if (expression.includes("&&")) {
    const values = parts("&&").map((part) => evaluate(part, context));
    return values.find((value) => !isTrue(value)) ?? values.at(-1);
  }
  if (expression.includes("==")) {
    const [left, right] = parts("==").map((part) => asText(evaluate(part, context)).toLowerCase());
    return left === right;
  }
  const [, literal] = /^'(.*)'$/.exec(expression) ?? [];
  if (literal !== undefined) return literal;
  if (!/^[\w.-]+$/.test(expression)) throw new Error(`unknown expression: ${expression}`);
  return expression
    .split(".")
    .reduce<unknown>(
      (value, name) => (typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined),
      context,
    );
}

function isTrue(value: unknown): boolean {
  return value !== undefined && value !== null && value !== "" && value !== false && value !== 0;
}

function asText(value: unknown): string {
  return typeof value === "string"
    ? value
    : typeof value === "object" || value === undefined
      ? ""
      : JSON.stringify(value);
}

function readOutputs(text: string): Record<string, string> {
  const lines = text.split("\n").filter((line) => line !== "");
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
}
