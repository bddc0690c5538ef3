/** Reports findings to the user: errors as one exception with all of them, warnings in the component's log. */
import * as pulumi from "@pulumi/pulumi";
import type { ArgumentType } from "../plan/arguments/argumentTypes";
import { type CheckOptions, checkArguments } from "../plan/arguments/checkArguments";
import { type Finding, findingText, reasonText } from "../plan/findings/findings";
import { findRule } from "../plan/findings/ruleTable";
import { isUnknown } from "../plan/model/unknown";
import { replaceDeferred, leaveOut } from "./inputs";

/** A silenced finding that does not appear. */
const SILENCE_UNUSED = "PB025";

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

/** Arguments that are lists of texts. */
const LISTS =
  /(^|\.)(binPath|controlPath|databases|inRoles|ldLibraryPath|libraryPath|pg(Dump|Restore)ExtraOptions|postImportSql|postInit\w*Sql|repositories|restartCommand|sharedPreloadLibraries)$|\.import\.roles$|\.recovery\.from$|\.targets\.\d+\.(events|units)$/;
/** Stand for a late value, besides its marker and none: a finding that all of them give does not depend on it. */
const TRIED: readonly unknown[] = [true, false, 999_999_999];

/**
 * Findings that hold whatever the late values at some paths turn out to be.
 * @param known with markers
 * @param isLeftOut paths that are left out where no other value is tried
 * @param check of such a value
 */
export function certainFindings(
  known: unknown,
  isLeftOut: (path: string) => boolean,
  isTried: (path: string) => boolean,
  check: (values: unknown) => readonly Finding[],
): readonly Finding[] {
  const tried = (value: unknown) => (path: string, marker: string) => {
    if (!isTried(path)) return marker;
    return LISTS.test(path) ? [value ?? marker] : (value ?? marker);
  };
  const others = [undefined, ...TRIED].flatMap((value) => {
    try {
      return [new Set(check(replaceDeferred(known, tried(value))).map(findingText))];
    } catch (error) {
      // Not a value of this argument.
      if (error instanceof TypeError || error instanceof RangeError) return [];
      throw error;
    }
  });
  return check(leaveOut(known, isLeftOut)).filter((finding) =>
    others.every((texts) => texts.has(findingText(finding))),
  );
}

/**
 * Findings of a preview that do not depend on values at `paths`, which it does not know: those about them come when the
 * values arrive. A silenced finding may be among them.
 */
export function withoutDeferred(findings: readonly Finding[], paths: readonly string[]): readonly Finding[] {
  if (paths.length === 0) return findings;
  // PostgreSQL's timeout follows from the objective.
  const about = paths.includes("objectives.rpoSeconds") ? [...paths, "archiveTimeoutSeconds"] : paths;
  const isAbout = (path: string): boolean => {
    const dotted = path.replace(/\[(\d+)\]/g, ".$1");
    return about.some((each) => dotted === each || dotted.startsWith(`${each}.`));
  };
  return findings.filter(
    (finding) =>
      finding.code !== SILENCE_UNUSED &&
      !isAbout(finding.path) &&
      ![finding.message, finding.hint].some((text) => isUnknown(text) || /\bNaN\b/.test(text)),
  );
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
