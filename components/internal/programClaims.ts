/**
 * What the components of one program use, so that two of them that use the same are detected. Each program has its own
 * record, even if one process runs several: the record belongs to the program's stack resource, of which the SDK makes
 * one for each run.
 */
import * as pulumi from "@pulumi/pulumi";
import { type Finding, finding } from "../plan/findings/findings";
import type { RuleCode } from "../plan/findings/ruleTable";

/** The use of something that only one component may use. */
export interface Use {
  /** Equal for the same thing. Never shown: it may contain secrets. */
  readonly key: string;
  /** The argument that decides it. */
  readonly path: string;
  readonly code: RuleCode;
  /** What is used, as the finding says it. */
  readonly what: string;
  readonly remedy: string;
  /** A machine that may be a member of the same PostgreSQL cluster as another machine with the same use. */
  readonly member?: { readonly machine: string; readonly code: RuleCode; readonly remedy: string };
}

interface Claim {
  readonly owner: object;
  readonly title: string;
  readonly use: Use;
}

export type Claims = Map<string, Claim>;

const programs = new WeakMap<object, Claims>();

/** Call it while the program declares. Null without a program: one in another language, or a test without an engine. */
export function claimsOfProgram(): Claims | null {
  const program = pulumi.runtime.getStackResource();
  if (program === undefined) return null;
  const claims = programs.get(program) ?? new Map<string, Claim>();
  programs.set(program, claims);
  return claims;
}

/** Records the uses of one component. Finds those that another component has already. */
export function claim(claims: Claims, owner: object, title: string, uses: readonly Use[]): Finding[] {
  const taken = uses.flatMap((use) => {
    const other = claims.get(use.key);
    if (other !== undefined && other.owner !== owner) return [[use, other] as const];
    claims.set(use.key, { owner, title, use });
    return [];
  });
  const detected = taken.map(([use, other]) => {
    const isMember = areMembers(use, other.use);
    const { code, remedy } = isMember && use.member !== undefined ? use.member : use;
    return finding(code, use.path, `${use.what} is also that of ${other.title} (${other.use.path})`, remedy);
  });
  return [...new Map(detected.map((each) => [`${each.code} ${each.path}`, each])).values()];
}

function areMembers({ member: own }: Use, { member: other }: Use): boolean {
  return own !== undefined && other !== undefined && own.machine !== other.machine;
}
