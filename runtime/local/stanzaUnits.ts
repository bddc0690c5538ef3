/**
 * A stanza's systemd units, `pgbackstop-<stanza>-*`, as systemd runs them: `systemctl list-unit-files` for their names,
 * `list-timers --output=json` (systemd 248 and newer) for the times, `show` for the rest. Their files are only read for
 * what the update wrote.
 */

export interface NextRun {
  /** `full`, `verify`: the timer's name without the common prefix. */
  readonly name: string;
  /** Null for a timer without a next run. */
  readonly nextAtS: number | null;
  /** Null when it has never run. */
  readonly lastAtS: number | null;
}

export interface StanzaUnit {
  /** With its ending. */
  readonly name: string;
  /** `loaded`, `masked`, `not-found`, `bad-setting` … */
  readonly loadState: string;
  /** `active`, `inactive`, `failed`, `activating` … */
  readonly activeState: string;
  /** `waiting`, `elapsed`, `listening`, `auto-restart` … */
  readonly subState: string;
  /** `enabled`, `disabled`, `static`, `masked` …; empty if unknown. */
  readonly fileState: string;
  /** `success`, `exit-code`, `resources` … */
  readonly result: string;
  readonly restartCount: number;
  /** Command lines of a service, arguments separated by spaces. */
  readonly commands: readonly string[];
  /** The unit that a timer starts; empty for others. */
  readonly starts: string;
  /** When a timer runs next; null if it does not. */
  readonly nextAtS: number | null;
  /** Null if systemd knows none. */
  readonly file: UnitText | null;
  readonly dropIns: readonly UnitText[];
}

interface UnitText {
  readonly path: string;
  /** Null if it is missing or not readable. */
  readonly text: string | null;
}

export interface StanzaUnits {
  /** Sorted by name, without templates and units of a single run. */
  readonly units: readonly StanzaUnit[];
  /** The next one first. */
  readonly next: readonly NextRun[];
}

interface UnitTools {
  /** Output of `systemctl`; null if it fails. */
  systemctl(args: readonly string[]): Promise<string | null>;
  /** Null if it is missing or not readable. */
  readText(path: string): Promise<string | null>;
}

const PROPERTIES = [
  "Id",
  "LoadState",
  "ActiveState",
  "SubState",
  "UnitFileState",
  "Result",
  "NRestarts",
  "ExecStart",
  "Unit",
  "FragmentPath",
  "DropInPaths",
];

/** Null without systemd or access to it, or with a version that prints another form. */
export async function loadStanzaUnits(stanza: string, { readText, systemctl }: UnitTools): Promise<StanzaUnits | null> {
  const pattern = `pgbackstop-${stanza}-*`;
  const timers = await systemctl(["list-timers", "--all", "--no-pager", "--output=json", `${pattern}.timer`]);
  const runs = timers === null ? null : parseTimers(timers, stanza);
  if (runs === null) return null;
  // Newer versions fail without any such unit.
  const files = (await systemctl(["list-unit-files", "--no-pager", "--no-legend", pattern])) ?? "";
  const names = parseUnitNames(files);
  if (names.length === 0) return { units: [], next: runs };
  const shown = await systemctl(["show", `--property=${PROPERTIES.join()}`, "--", ...names]);
  if (shown === null) return null;
  const withText = async (path: string): Promise<UnitText> => ({ path, text: await readText(path) });
  const units = await Promise.all(
    parseUnits(shown).map(async ({ dropIns, file, ...unit }): Promise<StanzaUnit> => {
      const run = runs.find(({ name }) => unit.name === `pgbackstop-${stanza}-${name}.timer`);
      return {
        ...unit,
        nextAtS: run?.nextAtS ?? null,
        file: file === "" ? null : await withText(file),
        dropIns: await Promise.all(dropIns.map(withText)),
      };
    }),
  );
  const others = units.filter((unit) => isOfOther(unit, stanza)).map(({ name }) => baseOf(name));
  return {
    units: units.filter(({ name }) => !others.includes(baseOf(name))),
    next: runs.filter(({ name }) => !others.includes(`pgbackstop-${stanza}-${name}`)),
  };
}

/** `pgbackstop-main-full`: of a timer or socket and its service. */
export function baseOf(unit: string): string {
  return unit.slice(0, unit.lastIndexOf("."));
}

/** The pattern of stanza `shop` matches units of stanza `shop-old`. */
function isOfOther({ file }: StanzaUnit, stanza: string): boolean {
  const named = /^ExecStart=.*(?:--stanza=|\/degrade-)([^\s"]+)/m.exec(file?.text ?? "")?.[1];
  return named !== undefined && named !== stanza;
}

/** The next one first. Null for another format: an older systemd prints a table. */
export function parseTimers(text: string, stanza: string): NextRun[] | null {
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch {
    return null;
  }
  if (!Array.isArray(rows)) return null;
  const prefix = `pgbackstop-${stanza}-`;
  const runs = rows.flatMap(
    (row: { readonly unit?: unknown; readonly next?: unknown; readonly last?: unknown }): NextRun[] => {
      const { unit } = row;
      if (typeof unit !== "string" || !unit.startsWith(prefix)) return [];
      return [
        {
          name: unit.slice(prefix.length).replace(/\.timer$/, ""),
          nextAtS: secondsOf(row.next),
          lastAtS: secondsOf(row.last),
        },
      ];
    },
  );
  const rank = ({ nextAtS }: NextRun): number => nextAtS ?? Number.POSITIVE_INFINITY;
  return runs.sort((left, right) => rank(left) - rank(right) || (left.name < right.name ? -1 : 1));
}

/** Microseconds since 1970; 0 and the largest number stand for never. */
function secondsOf(microseconds: unknown): number | null {
  if (typeof microseconds !== "number" || microseconds <= 0 || microseconds >= Number.MAX_SAFE_INTEGER) return null;
  return Math.floor(microseconds / 1_000_000);
}

/** Names in `systemctl list-unit-files`, without templates and units of a single run. */
export function parseUnitNames(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", state] = line.trim().split(/\s+/);
    return /\.(service|socket|timer)$/.test(name) && !name.includes("@") && state !== "transient" ? [name] : [];
  });
}

type ShownUnit = Omit<StanzaUnit, "nextAtS" | "file" | "dropIns"> & {
  /** Empty if systemd knows no file. */
  readonly file: string;
  readonly dropIns: readonly string[];
};

/** Blocks of `systemctl show`, in the order of the names. */
export function parseUnits(text: string): ShownUnit[] {
  return text.split(/\n\n+/).flatMap((block): ShownUnit[] => {
    const pairs = block.split("\n").map((line) => {
      const end = line.indexOf("=");
      return [line.slice(0, end), line.slice(end + 1)] as const;
    });
    const fields = new Map(pairs);
    const valueOf = (name: string): string => fields.get(name) ?? "";
    if (valueOf("Id") === "") return [];
    return [
      {
        name: valueOf("Id"),
        loadState: valueOf("LoadState"),
        activeState: valueOf("ActiveState"),
        subState: valueOf("SubState"),
        fileState: valueOf("UnitFileState"),
        result: valueOf("Result"),
        restartCount: Number(valueOf("NRestarts")),
        // A line for each command: `{ path=… ; argv[]=… ; ignore_errors=no ; …}`
        commands: pairs.flatMap(([name, value]) => {
          const argv = name === "ExecStart" ? / argv\[\]=(.*?) ; (?:ignore_errors|flags)=/.exec(value)?.[1] : undefined;
          return argv === undefined ? [] : [argv];
        }),
        starts: valueOf("Unit"),
        file: valueOf("FragmentPath"),
        dropIns: valueOf("DropInPaths")
          .split(" ")
          .filter((path) => path !== ""),
      },
    ];
  });
}
