/** What only one component of a program, or one part of a file, may use: a second one is a finding. Pure. */
import { type Finding, finding } from "./findings";
import type { RuleCode } from "./ruleTable";

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
