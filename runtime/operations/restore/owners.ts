/**
 * Owners of restored files: pure ("pgbackrest-format" 17, step 5; pgBackRest 2.60 "command/restore").
 *
 * Root gives each entry to the owner that the backup names. Names unknown on this machine become the owner of the data
 * directory. Any other account can only own files itself; a note lists the original owners.
 */
import { viewsOf } from "../../format/repository/fileRows";
import type { Manifest, OwnerName } from "../../format/repository/manifest";
import type { AccountIds } from "../../local/actAs";
import type { UserNames } from "../../local/users";

export interface Owners {
  readonly warnings: readonly string[];
  /** Null does not change the owner. */
  of(row: { readonly user: OwnerName; readonly group: OwnerName }): AccountIds | null;
}

export interface OwnerFacts {
  readonly users: UserNames;
  /** This process. */
  readonly self: AccountIds;
  /** Owner of the existing data directory; null when it is still to be made. */
  readonly dataDirectory: AccountIds | null;
}

export function planOwners(manifest: Manifest, facts: OwnerFacts): Owners {
  const userNames = new Set<OwnerName>();
  const groupNames = new Set<OwnerName>();
  for (const rows of [viewsOf(manifest.files), manifest.paths, manifest.links]) {
    for (const { user, group } of rows) {
      userNames.add(user);
      groupNames.add(group);
    }
  }
  return facts.self.uid === 0
    ? ownersForRoot(userNames, groupNames, facts)
    : ownersForOther(userNames, groupNames, facts);
}

function ownersForRoot(
  userNames: ReadonlySet<OwnerName>,
  groupNames: ReadonlySet<OwnerName>,
  facts: OwnerFacts,
): Owners {
  const { users } = facts;
  const fallback = facts.dataDirectory ?? facts.self;
  const warnings: string[] = [];
  const resolveAll = (
    kind: string,
    names: ReadonlySet<OwnerName>,
    find: (name: string) => number | null,
    other: number,
    otherName: string | null,
  ) => {
    const ids = new Map<OwnerName, number>();
    for (const name of names) {
      const id = name === null ? null : find(name);
      if (id === null)
        warnings.push(
          `unknown ${kind}${name === null ? "" : ` '${name}'`} in backup manifest mapped to '${otherName ?? other}'`,
        );
      ids.set(name, id ?? other);
    }
    return (name: OwnerName): number => ids.get(name) ?? other;
  };
  const uidOf = resolveAll(
    "user",
    userNames,
    (name) => users.findUid(name),
    fallback.uid,
    users.userName(fallback.uid),
  );
  const gidOf = resolveAll(
    "group",
    groupNames,
    (name) => users.findGid(name),
    fallback.gid,
    users.groupName(fallback.gid),
  );
  return { warnings, of: ({ user, group }) => ({ uid: uidOf(user), gid: gidOf(group) }) };
}

function ownersForOther(
  userNames: ReadonlySet<OwnerName>,
  groupNames: ReadonlySet<OwnerName>,
  { users, self }: OwnerFacts,
): Owners {
  const warn = (kind: string, names: ReadonlySet<OwnerName>, own: string | null): string[] =>
    [...names]
      .filter((name) => name === null || name !== own)
      .map(
        (name) => `unknown ${kind}${name === null ? "" : ` '${name}'`} in backup manifest mapped to current ${kind}`,
      );
  return {
    warnings: [
      ...warn("user", userNames, users.userName(self.uid)),
      ...warn("group", groupNames, users.groupName(self.gid)),
    ],
    of: () => null,
  };
}
