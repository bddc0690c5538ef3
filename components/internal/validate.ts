/** Reports findings to the user: errors as one exception with all of them, warnings in the component's log. */
import * as pulumi from "@pulumi/pulumi";
import type { ArgumentType } from "../plan/arguments/argumentTypes";
import { type CheckOptions, checkArguments, type Declarations } from "../plan/arguments/checkArguments";
import { type Finding, findingText, reasonText } from "../plan/findings/findings";
import { valueAt } from "../plan/model/anyValue";
import { findRule } from "../plan/findings/ruleTable";
import { splitKnown, withDeferred } from "./inputs";

/**
 * Throws all errors at once.
 * @throws InputPropertiesError with path, fact and remedy of each; its message has them all
 */
export function throwErrors(component: string, findings: readonly Finding[]): void {
  const errors = findings.filter((finding) => finding.severity === "error");
  if (errors.length === 0) return;
  const list = errors.map((finding) => `  ${findingText(finding)}`).join("\n");
  throw new pulumi.InputPropertiesError({
    message: `${component}: ${errors.length} ${errors.length === 1 ? "error" : "errors"} in the arguments\n${list}`,
    errors: errors.map((finding) => ({ propertyPath: finding.path, reason: `${finding.code} ${reasonText(finding)}` })),
  });
}

/** Components by the names of their arguments' types. */
type ComponentName = ArgumentType extends infer Name
  ? Name extends `${infer Component}Args`
    ? Component
    : never
  : never;

/** @throws InputPropertiesError with every argument that is unknown, missing, or of another type than declared */
export function requireArguments(
  component: ComponentName,
  name: string,
  args: unknown,
  options: CheckOptions = {},
): void {
  throwErrors(`${component} ${name}`, checkArguments(`${component}Args` as ArgumentType, args, options));
}

/**
 * The same for a component of another package.
 * @param declared types and ranges of its arguments, as `npm run docs` makes them
 */
export function requireDeclared(component: string, name: string, args: unknown, declared: Declarations): void {
  throwErrors(`${component} ${name}`, checkArguments(`${component}Args`, args, { declared }));
}

/** How the arguments of a component are checked. */
export interface ArgumentChecks<Args> extends CheckOptions {
  /** Rules for arguments of the declared types, with markers for what is not known yet. */
  readonly check?: (values: pulumi.Unwrap<Args>) => readonly Finding[];
  /**
   * Values of other components, which have checked them. They stay the same objects, by which some are known. One that
   * comes later as a whole is checked nevertheless.
   */
  readonly kept?: (args: Args) => readonly unknown[];
}

/** Values of components. Those of another version may have more fields. */
const OF_COMPONENTS = ["PluginRuntime", "RepositoryTarget"];

/**
 * The arguments with a check before each deferred value: an output of another stack may have any type, or none.
 * @throws InputPropertiesError with every error that known values have
 */
export function checkedArguments<Args extends object>(
  component: ComponentName,
  name: string,
  args: Args,
  { check, kept = () => [], ...options }: ArgumentChecks<Args> = {},
): Args {
  requireArguments(component, name, args, options);
  const title = `${component} ${name}`;
  const findings = (values: object): readonly Finding[] =>
    check?.(splitKnown(values).value as pulumi.Unwrap<Args>) ?? [];
  throwErrors(title, findings(args));
  const judge = (values: object): readonly Finding[] => {
    // Checking all others again for each deferred value would take long.
    const changed = new Map(Object.entries(values).filter(([key, value]) => value !== valueAt(args, key)));
    const type = `${component}Args` as ArgumentType;
    const wrong = checkArguments(type, Object.fromEntries(changed), { open: OF_COMPONENTS, ...options });
    const own = wrong.filter(({ path }) => changed.has(path.split(/[.[]/)[0] ?? ""));
    return own.length > 0 ? own : findings(values);
  };
  const others = new Set(kept(args));
  const checked = new Map<unknown, pulumi.Output<unknown>>();
  const checkedOf = (deferred: unknown): pulumi.Output<unknown> => {
    const output = pulumi.output(deferred);
    return pulumi.all([output, pulumi.isSecret(output)]).apply(([known, isSecret]) => {
      const judged = judge(withDeferred(args, others, (each) => (each === deferred ? known : each)) as object);
      const wrong = known === undefined ? judged.map(withoutOutput) : judged;
      throwErrors(
        title,
        withoutSecretValues(wrong, () => (isSecret ? [] : wrong)),
      );
      return known;
    });
  };
  return withDeferred(args, others, (deferred) => {
    const output = checked.get(deferred) ?? checkedOf(deferred);
    checked.set(deferred, output);
    return output;
  }) as Args;
}

/** The program gives the argument. What lacks is the value of the output that it names. */
function withoutOutput(missing: Finding): Finding {
  if (missing.code !== "PB118") return missing;
  const hint = "update the stack that exports it first, and check the output's name";
  return { ...missing, message: "it is required, and the output has no value", hint };
}

/** Logs warnings and notes on their component. */
export function logWarnings(findings: readonly Finding[], resource: pulumi.Resource): void {
  for (const finding of findings) {
    if (finding.severity === "warning") void pulumi.log.warn(findingText(finding), resource);
    else if (finding.severity === "note") void pulumi.log.info(findingText(finding), resource);
  }
}

/** Logs `known` now and, of `final`, what was not among them when it comes. */
export function logInTwoSteps(
  known: readonly Finding[],
  final: pulumi.Output<readonly Finding[]> | null,
  resource: pulumi.Resource,
): void {
  logWarnings(known, resource);
  const logged = new Set(known.map(findingText));
  final?.apply((findings) =>
    logWarnings(
      findings.filter((finding) => !logged.has(findingText(finding))),
      resource,
    ),
  );
}

/**
 * `findings` without any secret. A finding that also appears while secret values are hidden reveals none; of the others
 * only code, path and rule are kept.
 * @param hidden finds again, with markers for secrets
 */
export function withoutSecretValues(findings: readonly Finding[], hidden: () => readonly Finding[]): Finding[] {
  if (findings.length === 0) return [];
  const open = new Set(hidden().map(findingText));
  return findings.map((finding) => {
    if (open.has(findingText(finding))) return finding;
    const rule = findRule(finding.code);
    return {
      ...finding,
      message: `the value is secret, so this shows only the rule: ${rule?.what ?? finding.code}`,
      hint: rule?.remedy ?? "",
    };
  });
}
