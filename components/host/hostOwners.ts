/**
 * The components that declare a host, in a file there: one line of JSON for each. The engine creates a component with a
 * new name before it deletes the one with the old name, and another stack may declare the same host. So a component
 * that is destroyed removes nothing while another one remains. Call these functions under the host's lock.
 */
import { isFields } from "../plan/model/anyValue";
import { type Connection, type ExecResult, type LogLine, runScript } from "./connection";
import { accountsFor, removeFiles, writeFiles } from "./desiredFiles";
import { given } from "../../runtime/base/given";
import { shellArgument } from "../plan/host/hostCommand";
import { UNIT_HEAD } from "../render/units/unit";

/** What a component declares on the host; another one may only declare the same. */
export type Declared = Readonly<Record<string, string>>;

/** What the last owner undoes for those that left before it. */
export interface Left {
  readonly previousSettings: Readonly<Record<string, string | null>>;
  readonly madeDirectories: readonly string[];
  readonly nodePaths: readonly string[];
  readonly files: readonly string[];
}

/** What an update learned before it changed PostgreSQL's settings: its state may never be stored. */
export interface Begun {
  readonly previousSettings: Readonly<Record<string, string | null>>;
  /** WAL before the settings is in no repository, and no backup has been taken since. */
  readonly walGap?: true;
}

interface Owner {
  /** URN of the component. */
  readonly owner: string;
  readonly declared: Declared;
  /** True if it sets PostgreSQL's settings. */
  readonly archives: boolean;
  /** The setting by which WAL leaves (archiveSetting.ts); missing in lines of earlier versions. */
  readonly by?: string;
  readonly begun?: Begun;
  /** False until it has written its settings; missing in lines of earlier versions. */
  readonly isSet?: false;
  /** True while an update has not ended with everything as desired: it may have been killed. */
  readonly unfinished?: true;
}

interface Owners {
  readonly owners: readonly Owner[];
  readonly left: readonly Left[];
}

export interface Entering extends Omit<Owner, "begun" | "isSet"> {
  /** Its URN before this update. */
  readonly former?: string | undefined;
}

/**
 * Records a component, before anything else is changed.
 * @returns true if another one declares the host too, and has written PostgreSQL's settings
 * @throws Error if another one declares something else there
 */
export async function enterHost(
  connection: Connection,
  path: string,
  { archives, by, declared, former, owner, unfinished }: Entering,
  log: LogLine,
): Promise<boolean> {
  const { left, owners } = await readOwners(connection, path);
  const others = owners.filter((each) => each.owner !== owner && each.owner !== former);
  for (const other of others) {
    const isSame = textOf(other.declared) === textOf(declared);
    // Nobody would undo its settings.
    if (!isSame || (other.archives && !archives))
      throw new Error(
        `${owner} (${textOf(declared)}${isSame ? ", archives nothing" : ""}) would replace files of ${other.owner} (${textOf(other.declared)}) on ${connection.name}: give one of them its own directories, or destroy that one first; if it no longer exists, delete its line in ${path}`,
      );
    // Nobody would drop its slot, or take back its command.
    if (by !== undefined && other.by !== undefined && by !== other.by)
      throw new Error(
        `${owner} (${by}) archives another way than ${other.owner} (${other.by}), which declares ${connection.name} too: destroy that one first; if it no longer exists, delete its line in ${path}`,
      );
    log(`${other.owner} declares this host too, as ${path} says: each update replaces what the other one wrote`);
  }
  const begun = begunIn(owners, [owner, former]);
  const hasSet = owners.some((each) => !others.includes(each) && each.archives && each.isSet !== false);
  const isSet = archives && !hasSet ? (false as const) : undefined;
  await writeOwners(connection, path, {
    owners: [...others, { owner, declared, archives, ...given({ by, begun, isSet, unfinished }) }],
    left,
  });
  return others.some((other) => other.archives && other.isSet !== false);
}

/** What an update of the component noted before it changed settings; else null. @param own its names now and before */
export async function readBegun(
  connection: Connection,
  path: string,
  own: readonly (string | undefined)[],
): Promise<Begun | null> {
  return begunIn((await readOwners(connection, path)).owners, own) ?? null;
}

/**
 * The same of the others, which may never run again. The first one knew the settings before all of them.
 * @param own names of the component that asks
 */
export async function readOthersBegun(
  connection: Connection,
  path: string,
  own: readonly (string | undefined)[],
): Promise<Begun> {
  const { owners } = await readOwners(connection, path);
  const others = owners.flatMap(({ begun, owner }) => (begun === undefined || own.includes(owner) ? [] : [begun]));
  const names = new Set(others.flatMap(({ previousSettings }) => Object.keys(previousSettings)));
  const first = (name: string): string | null =>
    others.map(({ previousSettings }) => previousSettings[name] ?? null).find((value) => value !== null) ?? null;
  return {
    previousSettings: Object.fromEntries([...names].map((name) => [name, first(name)])),
    ...(others.some(({ walGap }) => walGap === true) ? { walGap: true as const } : {}),
  };
}

/** Records that each repository has a backup that begins after the settings. */
export async function closeGap(connection: Connection, path: string): Promise<void> {
  const { left, owners } = await readOwners(connection, path);
  const closed = owners.map(({ begun, ...each }) =>
    begun === undefined ? each : { ...each, begun: { previousSettings: begun.previousSettings } },
  );
  await writeOwners(connection, path, { owners: closed, left });
}

/** Records that the component has written its settings. */
export async function markSet(connection: Connection, path: string, owner: string): Promise<void> {
  const { left, owners } = await readOwners(connection, path);
  await writeOwners(connection, path, {
    owners: owners.map(({ isSet, ...each }) => (each.owner === owner ? each : { ...each, ...given({ isSet }) })),
    left,
  });
}

/** Writes it into the component's line. */
export async function writeBegun(connection: Connection, path: string, owner: string, begun: Begun): Promise<void> {
  const { left, owners } = await readOwners(connection, path);
  await writeOwners(connection, path, {
    owners: owners.map((each) => (each.owner === owner ? { ...each, begun } : each)),
    left,
  });
}

/** Files of components that left, for the only one that still declares the host; none while there are several. */
export async function filesOfLeft(connection: Connection, path: string): Promise<string[]> {
  const { left, owners } = await readOwners(connection, path);
  return owners.length > 1 ? [] : [...new Set(left.flatMap(({ files }) => files))];
}

/**
 * Removes the mark of an update under way from the component's line.
 * @param ownsLeft true if it has taken over or removed {@link filesOfLeft}
 */
export async function markFinished(
  connection: Connection,
  path: string,
  owner: string,
  ownsLeft = false,
): Promise<void> {
  const { left: all, owners } = await readOwners(connection, path);
  const left = ownsLeft && owners.length === 1 ? all.map((each) => ({ ...each, files: [] })) : all;
  await writeOwners(connection, path, {
    owners: owners.map(({ isSet, unfinished, ...each }) =>
      each.owner === owner ? each : { ...each, ...given({ isSet, unfinished }) },
    ),
    left,
  });
}

/**
 * True if an update of the component was killed: files may be written that no service has read, and backups missing.
 * Also for a record that cannot be read; the next update reports it.
 * @param record answer of {@link recordLine}
 */
export function isUnfinished(record: ExecResult | undefined, own: readonly (string | undefined)[]): boolean {
  if (record === undefined) return false;
  if (record.exitCode !== 0) return true;
  try {
    return parseOwners(record.stdout).owners.some(
      ({ owner, unfinished }) => unfinished === true && own.includes(owner),
    );
  } catch {
    return true;
  }
}

/** The shell line that prints the records at `paths`. */
export function recordLine(paths: readonly string[]): string {
  return `for path in ${paths.map(shellArgument).join(" ")}; do [ ! -e "$path" ] || cat -- "$path" || exit 1; done`;
}

function begunIn(owners: readonly Owner[], own: readonly (string | undefined)[]): Begun | undefined {
  return owners.find(({ begun, owner }) => begun !== undefined && own.includes(owner))?.begun;
}

/**
 * Takes a component out, if others still declare the host. The last one removes the file with everything else.
 * @param own undone by the last one
 * @returns what others left, or null if others remain
 * @throws Error if the last one that archives would leave its settings to others, which do not undo them
 */
export async function leaveHost(
  connection: Connection,
  path: string,
  owner: string | undefined,
  own: Left,
  log: LogLine,
): Promise<readonly Left[] | null> {
  const { left, owners } = await readOwners(connection, path);
  const others = owners.filter((each) => each.owner !== owner);
  if (others.length === 0) return left;
  const isArchiving = owners.some((each) => each.owner === owner && each.archives);
  const [first] = others;
  if (first !== undefined && isArchiving && others.every((other) => !other.archives))
    throw new Error(
      `${first.owner}, which archives nothing, declares this host too, as ${path} says: destroy it first`,
    );
  await writeOwners(connection, path, { owners: others, left: [...left, own] });
  for (const other of others) log(`${other.owner} still declares this host, as ${path} says: nothing of it is removed`);
  return null;
}

/**
 * A component whose configuration moves would leave the record of the others: the last of them would undo a host that
 * is still declared.
 * @throws Error if others declare the host in the file at `path`
 */
export async function requireAlone(
  connection: Connection,
  path: string,
  own: readonly (string | undefined)[],
): Promise<void> {
  const other = (await readOwners(connection, path)).owners.find(({ owner }) => !own.includes(owner));
  if (other === undefined) return;
  throw new Error(
    `${other.owner} declares this host too, as ${path} on ${connection.name} says, so its configuration cannot move: destroy that one first; if it no longer exists, delete its line in ${path}`,
  );
}

/**
 * Takes a component out of the file at `from`, where its configuration was before, after it has entered `to`. What
 * others left there goes along, and what a killed update of it had noted; the file itself goes with its last component.
 */
export async function leaveFormer(
  connection: Connection,
  { from, to }: { readonly from: string; readonly to: string },
  own: readonly (string | undefined)[],
): Promise<void> {
  const old = await readOwners(connection, from);
  const others = old.owners.filter((each) => !own.includes(each.owner));
  if (others.length === old.owners.length) return;
  if (others.length > 0) return writeOwners(connection, from, { ...old, owners: others });
  const now = await readOwners(connection, to);
  const begun = begunIn(old.owners, own);
  const owners = now.owners.map((each) => (own.includes(each.owner) ? { ...each, ...given({ begun }) } : each));
  await writeOwners(connection, to, { owners, left: [...old.left, ...now.left] });
  await removeFiles(connection, [from]);
}

/** What an update knows of the machine that it reached last. */
interface Known {
  /** That of the last update; omitted if unknown. */
  readonly machineId?: string;
  /** The files that name the components, and their names then and now. */
  readonly ownersPaths: readonly (string | undefined)[];
  readonly owners: readonly (string | undefined)[];
}

/**
 * True if an address leads to another machine than at the last update: it was installed again, a name or a jump host
 * leads elsewhere. What is known of the old one, such as its previous settings, says nothing about this one. Its id
 * is another, and it knows nothing of the component: a machine may get another id, and an image keeps it.
 */
export async function isOtherMachine(
  connection: Connection,
  { machineId, owners, ownersPaths }: Known,
  now: string,
): Promise<boolean> {
  if (machineId === undefined || now === "" || machineId === now) return false;
  for (const path of new Set(ownersPaths))
    if (path !== undefined && (await hasOwner(connection, path, owners))) return false;
  return true;
}

/** True if the file names one of these components. */
async function hasOwner(
  connection: Connection,
  path: string,
  owners: readonly (string | undefined)[],
): Promise<boolean> {
  return (await readOwners(connection, path)).owners.some(({ owner }) => owners.includes(owner));
}

/**
 * $1 line that begins our files, $2 directory of units, $3 program or empty; then paths. Prints a path and each
 * configuration that its commands name, also for each unit that runs the program.
 */
const CONFIGURATION_SCRIPT = `
head=$1 units=$2 program=$3
shift 3
configurations() {
  [ -f "$1" ] && grep -qF -- "$head" "$1" && grep -qF -- "$2" "$1" || return 0
  grep -o -- "--config=[^ '\\"]*" "$1" | sort -u | while IFS= read -r config; do printf '%s %s\\n' "\${config#--config=}" "$1"; done
}
for path do configurations "$path" ''; done
[ -z "$program" ] || for path in "$units"/*.service; do configurations "$path" "$program"; done`;

/** Files that an update is about to write outside of the configuration's directory. */
interface Placed {
  /** Path of this host's configuration. */
  readonly config: string;
  readonly paths: readonly string[];
  readonly units: string;
  /** The program, if it is among `paths`: its units may have other names than this host's. */
  readonly program?: string | undefined;
}

/**
 * Units, program and launcher lie outside the configuration's directory, so that its record says nothing about them.
 * @throws Error if one of these files belongs to a host with another configuration
 */
export async function refuseOtherHost(
  connection: Connection,
  { config, paths, program = "", units }: Placed,
): Promise<void> {
  // Files quote any other path in ways of their own.
  if (paths.length === 0 || !/^[A-Za-z0-9_@+=:,./-]+$/.test(config)) return;
  const args = [UNIT_HEAD, units, program, ...paths];
  const { stdout } = await runScript(connection, "read whose the units are", CONFIGURATION_SCRIPT, args);
  const others = stdout.split("\n").filter((line) => line !== "" && !line.startsWith(`${config} `));
  const [first] = others;
  if (first === undefined) return;
  const [other = ""] = first.split(" ");
  const path = first.slice(other.length + 1);
  throw new Error(
    `${path} on ${connection.name} belongs to the host whose configuration is ${other}, and ${paths.includes(path) ? "" : `its program ${program} `}would be replaced: give one of them its own stanza and directories (config, lib, bin, units), or destroy that one first; if it no longer exists, remove ${path}`,
  );
}

const READ_SCRIPT = '[ ! -e "$1" ] || cat -- "$1"';

async function readOwners(connection: Connection, path: string): Promise<Owners> {
  const { stdout } = await runScript(connection, `read ${path}`, READ_SCRIPT, [path]);
  try {
    return parseOwners(stdout);
  } catch (error) {
    throw new Error(`${path} on ${connection.name} has a line that is not JSON: delete the line`, { cause: error });
  }
}

/** @throws SyntaxError */
function parseOwners(text: string): Owners {
  const lines = text.split("\n").filter((line) => line !== "");
  const rows = lines.map((line): unknown => JSON.parse(line));
  return {
    owners: rows.flatMap((row) =>
      isFields(row) && typeof row["owner"] === "string" && isFields(row["declared"])
        ? [
            {
              owner: row["owner"],
              declared: row["declared"] as Declared,
              archives: row["archives"] === true,
              ...(typeof row["by"] === "string" ? { by: row["by"] } : {}),
              ...(isFields(row["begun"]) ? { begun: row["begun"] as object as Begun } : {}),
              ...(row["isSet"] === false ? { isSet: false as const } : {}),
              ...(row["unfinished"] === true ? { unfinished: true as const } : {}),
            },
          ]
        : [],
    ),
    left: rows.flatMap((row) => (isFields(row) && isFields(row["left"]) ? [row["left"] as object as Left] : [])),
  };
}

async function writeOwners(connection: Connection, path: string, { left, owners }: Owners): Promise<void> {
  const lines = [...owners, ...left.map((each) => ({ left: each }))].map((row) => JSON.stringify(row));
  const file = { path, mode: "0600", owner: "admin", content: lines.map((line) => `${line}\n`).join("") } as const;
  await writeFiles(connection, [file], accountsFor(connection.login, connection.login));
}

/** `stanza main, data directory /srv/pg` */
function textOf(declared: Declared): string {
  return Object.entries(declared)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}
