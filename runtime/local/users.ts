/** Names of this machine's users and groups, from /etc/passwd and /etc/group; null for a number without a name. */
import { readFileSync } from "./nodeFiles";

export interface UserNames {
  userName(uid: number): string | null;
  groupName(gid: number): string | null;
  findUid(name: string): number | null;
  findGid(name: string): number | null;
}

/** Reads both files once; a missing file has no names. */
export function loadUserNames(passwdPath = "/etc/passwd", groupPath = "/etc/group"): UserNames {
  const users = loadNames(passwdPath);
  const groups = loadNames(groupPath);
  return {
    userName: (uid) => users.byId.get(uid) ?? null,
    groupName: (gid) => groups.byId.get(gid) ?? null,
    findUid: (name) => users.byName.get(name) ?? null,
    findGid: (name) => groups.byName.get(name) ?? null,
  };
}

/** The account's own group in the account database; null without an entry. */
export function findOwnGroup(uid: number, passwdPath = "/etc/passwd"): number | null {
  const fields = linesOf(passwdPath).find(([, , id]) => id === String(uid));
  return fields?.[3] === undefined || !/^\d+$/.test(fields[3]) ? null : Number(fields[3]);
}

function loadNames(path: string): { byId: Map<number, string>; byName: Map<string, number> } {
  const byId = new Map<number, string>();
  const byName = new Map<string, number>();
  for (const [name, , id] of linesOf(path)) {
    if (name === undefined || name === "" || id === undefined || !/^\d+$/.test(id)) continue;
    if (!byId.has(Number(id))) byId.set(Number(id), name);
    if (!byName.has(name)) byName.set(name, Number(id));
  }
  return { byId, byName };
}

function linesOf(path: string): string[][] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .map((line) => line.split(":"));
  } catch {
    // Minimal containers have no such file: numbers stay numbers.
    return [];
  }
}
