/**
 * The rules for stacks without this package's components, as policies: one per code, so that each has its own
 * enforcement level and can be disabled by name. Resources are plain values; unknown ones are not judged, as in plans.
 */
import type {
  EnforcementLevel,
  PolicyResource,
  ReportViolation,
  ResourceValidationPolicy,
  StackValidationPolicy,
} from "@pulumi/policy";
import { checkArguments } from "../plan/arguments/checkArguments";
import { type Finding, finding, findingText } from "../plan/findings/findings";
import { checkCloudResource } from "../plan/rules/buckets";
import { checkManifest, checkManifestsTogether } from "../plan/rules/manifests";
import type { Severity } from "../plan/findings/ruleRow";
import { RULE_CODES, type RuleCode, RULES } from "../plan/findings/ruleTable";
import { isFields, valueAt } from "../plan/model/anyValue";
import { textAt } from "../plan/rules/manifests/objects";
import { unknownMarker } from "../plan/model/unknown";

export interface BackupPolicyOptions {
  /** Enforcement of findings by severity. @default mandatory for errors, advisory for warnings and notes */
  enforcement?: { error?: EnforcementLevel; warning?: EnforcementLevel; note?: EnforcementLevel };
  /**
   * Codes that are acceptable in these stacks, to the reason. Unlike in a component, errors can be silenced: the
   * objects are not ours.
   */
  silence?: { [code: string]: string };
  /**
   * Parts of the names of buckets with backups, or of the resources that configure them: others are not judged.
   * @default ["backup", "pgbackrest", "postgres", "pg-", "-pg", "barman"]
   */
  bucketNames?: string[];
}

const LEVEL = '"advisory" | "mandatory" | "remediate" | "disabled"';
/** The same, for packs in JavaScript. */
const OPTION_TYPES = {
  BackupPolicyOptions: {
    "enforcement?": "Enforcement",
    "silence?": "{ [code: string]: string }",
    "bucketNames?": "string[]",
  },
  Enforcement: { "error?": LEVEL, "warning?": LEVEL, "note?": LEVEL },
};

/** The policies' view of a stack's resource. */
type StackResource = Pick<PolicyResource, "type" | "name" | "props">;

const LEVELS: Readonly<Record<Severity, EnforcementLevel>> = {
  error: "mandatory",
  warning: "advisory",
  note: "advisory",
};
const BUCKET_NAMES = ["backup", "pgbackrest", "postgres", "pg-", "-pg", "barman"];
/** Types of this package's hosts. */
const OWN_HOSTS = [":HostState", ":RepositoryHostState"];
/** Codes that objects of others, or several connections, can have. */
export const POLICY_CODES: readonly RuleCode[] = RULE_CODES.filter((code) => RULES[code].isPolicy);

/** One policy per code, with its name. @throws Error for a wrong option, a code without a policy, or no reason */
export function backupPolicies(
  options: BackupPolicyOptions = {},
): (ResourceValidationPolicy & StackValidationPolicy)[] {
  const [wrong] = checkArguments("BackupPolicyOptions", options, { types: OPTION_TYPES, owner: "the policy pack" });
  if (wrong !== undefined) throw new Error(findingText(wrong));
  const silence = options.silence ?? {};
  for (const [code, reason] of Object.entries(silence)) {
    if (!POLICY_CODES.some((known) => known === code))
      throw new Error(`silence: "${code}" is not the code of a policy`);
    if (reason.trim() === "") throw new Error(`silence: ${code} is silenced without a reason`);
  }
  const bucketNames = options.bucketNames ?? BUCKET_NAMES;
  return POLICY_CODES.map((code) => {
    const { severity, remedy, what, why } = RULES[code];
    return {
      name: code,
      description: `${what}: ${why}. Remedy: ${remedy}.`,
      enforcementLevel: Object.hasOwn(silence, code)
        ? "disabled"
        : (options.enforcement?.[severity] ?? LEVELS[severity]),
      validateResource: (resource, report) => reportAll(code, checkResource(resource, bucketNames), report),
      validateStack: ({ resources }, report) => reportAll(code, checkStack(resources), report),
    };
  });
}

const BUCKET_FIELDS = ["bucket", "bucketName", "name", "accountName", "containerName"];

/** Findings about a single resource. */
export function checkResource({ name, props, type }: StackResource, bucketNames: readonly string[]): Finding[] {
  const properties = plainOf(props);
  if (type.startsWith("kubernetes:")) return checkManifest(manifestOf(type, name, properties));
  if (OWN_HOSTS.some((own) => type.endsWith(own))) return checkLogin(properties);
  const texts = [name, ...BUCKET_FIELDS.map((field) => textAt(properties, field) ?? "")];
  if (!bucketNames.some((part) => texts.some((text) => text.toLowerCase().includes(part.toLowerCase())))) return [];
  return checkCloudResource({ type, name, properties });
}

/** Logins by password, of the host or of a jump host, are in the connection. */
function checkLogin(properties: unknown): Finding[] {
  const connection = valueAt(properties, "connection");
  const findings: Finding[] = [];
  let path = "connection";
  for (let route = valueAt(connection, "ssh"); route !== undefined; route = valueAt(route, "jump")) {
    if (valueAt(route, "passwordLogin") === true)
      findings.push(finding("PB161", `${path}.password`, "a password signs in", "set privateKey"));
    path = "connection.proxy";
  }
  return findings;
}

/** Findings about several resources. */
export function checkStack(resources: readonly StackResource[]): Finding[] {
  const objects = resources.filter(({ type }) => type.startsWith("kubernetes:"));
  return checkManifestsTogether(objects.map(({ name, props, type }) => manifestOf(type, name, plainOf(props))));
}

function reportAll(code: string, findings: readonly Finding[], report: ReportViolation): void {
  for (const own of findings) if (own.code === code) report(findingText(own));
}

/** The object behind a resource: the type's token or the resource's name supply omitted fields. */
function manifestOf(type: string, name: string, properties: unknown): object {
  const [, group = "", kind = ""] = type.split(":");
  const given = isFields(properties) ? properties : {};
  const { metadata } = given;
  return {
    apiVersion: group.replace(/^core\//, ""),
    kind,
    ...given,
    metadata: { name, ...(isFields(metadata) ? metadata : {}) },
  };
}

/** A copy without proxies; an unknown value becomes its marker. A policy's proxy throws when such a value is read. */
function plainOf(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const read = (key: string): unknown => {
    try {
      return plainOf(Reflect.get(value, key) as unknown);
    } catch {
      return unknownMarker(0);
    }
  };
  const keys = Object.keys(value);
  return Array.isArray(value) ? keys.map(read) : Object.fromEntries(keys.map((key) => [key, read(key)]));
}
