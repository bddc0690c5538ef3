/**
 * Compares arguments with their declarations, for what TypeScript has not seen: programs in other languages, files,
 * copied text. Pure.
 *
 * A value from another resource is given, and its type is compared when it arrives. Where only a plain value may be, it
 * is a finding.
 */
import {
  checkDeclared,
  type Declarations,
  type DeclaredOptions,
  type Problem,
  type TypeTable,
} from "../../../runtime/base/declaredTypes";
import { type Finding, finding } from "../findings/findings";
import type { RuleCode } from "../findings/ruleTable";
import { isFields, isOutput } from "../model/anyValue";
import { isUnknown } from "../model/unknown";
import { ARGUMENT_KINDS, ARGUMENT_PLAIN, ARGUMENT_TYPES } from "./argumentTypes";
import { UNRULED_RANGES } from "./ranges";

export type { Declarations, TypeTable };

/** Names of arguments whose values no message repeats. */
const SECRET = /cipher|pass(word|phrase)|secret|token|privateKey|accessKey|url$/i;

export interface CheckOptions extends Partial<DeclaredOptions> {
  /** Default: those of the components' arguments. */
  readonly types?: TypeTable;
  /** Declarations of another package, besides those of the components' arguments. */
  readonly declared?: Declarations;
}

/** The arguments' types with these fields added, replaced, or removed by `never`. */
export function changedTypes(changes: TypeTable): TypeTable {
  const declared: TypeTable = ARGUMENT_TYPES;
  const changed = Object.entries(changes).map(([name, fields]) => [name, { ...declared[name], ...fields }]);
  return { ...declared, ...(Object.fromEntries(changed) as TypeTable) };
}

const CODES: Readonly<Record<Problem["kind"], RuleCode>> = {
  unknown: "PB190",
  missing: "PB118",
  empty: "PB191",
  deferred: "PB191",
  wrong: "PB191",
};

const DECLARED = { types: ARGUMENT_TYPES, ranges: UNRULED_RANGES, kinds: ARGUMENT_KINDS, plain: ARGUMENT_PLAIN };

/** A newer operator may have more fields in them: a rule warns of those that are unknown (unknownFields.ts). */
export const OPEN_TYPES: readonly string[] = ["ClusterSpec", "PoolerSpec"];

const DEFAULTS = {
  judged: ["RepositoryTarget"],
  isDeferred: (value: unknown) => isUnknown(value) || isOutput(value),
  // The operator's own fields are passed on, whenever they come.
  refusesDeferred: (argument: string) => !/^\w+Spec\./.test(argument),
  isSecret: (path: string) => SECRET.test(path),
  isComponent: (value: unknown) => isFields(value) && "__pulumiResource" in value,
  open: OPEN_TYPES,
} satisfies Partial<DeclaredOptions>;

/** @param name of a type */
export function checkArguments(name: string, args: unknown, options: CheckOptions = {}): Finding[] {
  const { declared, types = ARGUMENT_TYPES, ...others } = options;
  const owner = name.replace(/Args$/, "");
  const all = declared === undefined ? { ...DECLARED, types } : bothDeclared(declared, types);
  return checkDeclared(name, args ?? {}, all, { ...DEFAULTS, owner, ...others }).map(({ fact, hint, kind, path }) =>
    finding(CODES[kind], path, kind === "unknown" ? fact : `it ${fact}`, hint),
  );
}

/** Parsed types are cached by the object of their table. */
const joined = new WeakMap<Declarations, Declarations>();

function bothDeclared(declared: Declarations, types: TypeTable): Declarations {
  const known = types === ARGUMENT_TYPES ? joined.get(declared) : undefined;
  if (known !== undefined) return known;
  const both: Declarations = {
    types: { ...types, ...declared.types },
    ranges: { ...DECLARED.ranges, ...declared.ranges },
    kinds: { ...DECLARED.kinds, ...declared.kinds },
    plain: { ...DECLARED.plain, ...declared.plain },
  };
  if (types === ARGUMENT_TYPES) joined.set(declared, both);
  return both;
}
