/** The result of `find`, as text and as a document: pure. */
import type { JsonValue } from "../../format/repository/json";
import { formatLsn } from "../../format/wal/walSegment";
import { shellWord } from "../restore/recovery";
import type { Found, FoundTransaction, UnknownSpan, WalSource } from "./search";
import { formatTime, type Target } from "./recoveryTargets";

/** Per transaction; the document has all of them. */
const MARKERS_SHOWN_MAX = 8;

/** The form of a target: options of `recover`, or the source of a CnpgRestore. */
export type TargetForm = "options" | "cluster";

export function findText(found: Found, form: TargetForm = "options"): string {
  const lines = found.transactions.flatMap((transaction) => transactionLines(transaction, form));
  for (const span of found.unknown) lines.push(unknownLine(span));
  if (found.transactions.length === 0) lines.push("nothing that fits was dropped, truncated, deleted or updated: --from looks further back.");
  if (found.leftOut > 0) lines.push(`${found.leftOut} more that destroyed less: narrow it with --table, --kind, --from and --to, or raise --limit.`);
  for (const note of [...sourceNotes(found), ...found.notes]) lines.push(`NOTE: ${note}`);
  if (found.cut > 0)
    lines.push(`NOTE: ${found.cut} transactions began before what was read, or may have: rows that they changed before are not counted`);
  const last = found.lastUs === null ? "" : `, the last one at ${formatTime(found.lastUs)}`;
  lines.push(
    `read WAL of timeline ${found.timeline} from ${formatLsn(found.fromLsn)} to ${formatLsn(found.toLsn)}: ${found.committed} transactions were committed between these times${last}`,
  );
  return `${lines.join("\n")}\n`;
}

const SOURCES: Readonly<Record<WalSource, string>> = { archive: "", stream: "  (streamed)", pg_wal: "  (not archived yet)" };

/** What a recovery to these transactions needs first. */
function sourceNotes({ transactions }: Found): string[] {
  const isFrom = (wanted: WalSource): boolean => transactions.some(({ source }) => source === wanted);
  return [
    ...(isFrom("pg_wal")
      ? ["what is not archived yet is out of a restore's reach: recover and extract-table archive it themselves, pgbackstop check does it now"]
      : []),
    ...(isFrom("stream") ? ["what is streamed and not archived is reached by pgbackstop's own restore_command, not by stock's"] : []),
  ];
}

function transactionLines({ atUs, isCut, lsn, markers, preparedAs, source, targets, xid }: FoundTransaction, form: TargetForm): string[] {
  const lines = [
    `${formatTime(atUs)}  xid ${xid}  lsn ${formatLsn(lsn)}${preparedAs === null ? "" : `  prepared as '${preparedAs}'`}${SOURCES[source]}`,
  ];
  for (const { databaseName, kind, name, object, rows } of markers.slice(0, MARKERS_SHOWN_MAX)) {
    const what = rows === null ? `${kind} ${object}` : `${kind} ${isCut ? "at least " : ""}${rows} ${rows === 1 ? "row" : "rows"} of ${object}`;
    lines.push(object === "database" ? `    ${what} ${databaseName}` : `    ${what} ${databaseName}: ${name}`);
  }
  if (markers.length > MARKERS_SHOWN_MAX) lines.push(`    and ${markers.length - MARKERS_SHOWN_MAX} more`);
  const [best] = targets;
  lines.push(
    best === undefined
      ? "  no backup ends before it: there is no way back to it"
      : `  just before it: ${form === "cluster" ? clusterWords(targets) : best.args.map(shellWord).join(" ")}`,
  );
  if (preparedAs !== null && best?.type === "xid") lines.push(`    it comes back prepared: end it with ROLLBACK PREPARED ${sqlText(preparedAs)}`);
  lines.push("");
  return lines;
}

/** The position, by which the restore chooses the backup: `target: { lsn: "0/1C0035E8", exclusive: true }`. */
function clusterWords(targets: readonly Target[]): string {
  const position = targets.find(({ type }) => type === "lsn");
  const fields = Object.entries(position?.cluster ?? {}).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
  return `target: { ${fields.join(", ")} }`;
}

function sqlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function unknownLine({ afterUs, beforeUs, fromSegment, reason, toSegment }: UnknownSpan): string {
  const times = [afterUs === null ? "" : ` after ${formatTime(afterUs)}`, beforeUs === null ? "" : ` before ${formatTime(beforeUs)}`].join("");
  return `UNKNOWN: WAL from ${fromSegment} to ${toSegment} cannot be read (${reason}): what was committed${times} in it is not shown`;
}

/** `version` 1; times are strings with microseconds, positions as PostgreSQL writes them. */
export function findJson(found: Found): JsonValue {
  return {
    version: 1,
    timeline: found.timeline,
    fromLsn: formatLsn(found.fromLsn),
    toLsn: formatLsn(found.toLsn),
    lastAt: timeOrNull(found.lastUs),
    committed: found.committed,
    leftOut: found.leftOut,
    cut: found.cut,
    transactions: found.transactions.map((transaction) => ({
      xid: transaction.xid,
      at: formatTime(transaction.atUs),
      lsn: formatLsn(transaction.lsn),
      firstLsn: formatLsn(transaction.firstLsn),
      preparedAs: transaction.preparedAs,
      archived: transaction.source === "archive",
      source: transaction.source,
      cut: transaction.isCut,
      markers: transaction.markers.map(({ database, databaseName, isResolved, kind, name, object, rows }) => ({
        kind,
        object,
        databaseId: database,
        database: databaseName,
        name,
        resolved: isResolved,
        rows,
      })),
      targets: transaction.targets.map(({ args, cluster, set, target, type }) => ({ type, target, set, args: [...args], cluster: { ...cluster } })),
    })),
    unknown: found.unknown.map(({ afterUs, beforeUs, fromSegment, reason, toSegment }) => ({
      fromSegment,
      toSegment,
      reason,
      after: timeOrNull(afterUs),
      before: timeOrNull(beforeUs),
    })),
    notes: [...found.notes],
  };
}

function timeOrNull(atUs: bigint | null): string | null {
  return atUs === null ? null : formatTime(atUs);
}
