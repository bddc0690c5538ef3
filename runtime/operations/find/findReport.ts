/** The result of `find`, as text and as a document: pure. */
import type { JsonValue } from "../../format/repository/json";
import { formatLsn } from "../../format/wal/walSegment";
import { shellQuote } from "../restore/recovery";
import type { SearchResult, MatchedTransaction, UnknownSpan, WalSource } from "./search";
import { formatTime, type Target } from "./recoveryTargets";

/** Per transaction; the document has all of them. */
const MARKERS_SHOWN_MAX = 8;

/** The form of a target: options of `recover`, or the source of a CnpgRestore. */
export type TargetForm = "options" | "cluster";

export function findText(result: SearchResult, form: TargetForm = "options"): string {
  const lines = result.transactions.flatMap((transaction) => transactionLines(transaction, form));
  for (const span of result.unknown) lines.push(unknownLine(span));
  if (result.transactions.length === 0)
    lines.push(
      `no matching DROP, TRUNCATE, DELETE or UPDATE.${result.beginUs === null ? " Use an earlier --from to search further back." : ""}`,
    );
  if (result.leftOut > 0)
    lines.push(
      `${result.leftOut} more that destroyed less. Use --table, --kind, --from and --to to narrow the search, or raise --limit.`,
    );
  for (const note of [...sourceNotes(result), ...notesOf(result)]) lines.push(`NOTE: ${note}`);
  if (result.cut > 0)
    lines.push(
      `NOTE: ${result.cut} transactions began before the searched WAL, or may have: their earlier rows are not counted`,
    );
  const last = result.lastUs === null ? "" : `, the last one at ${formatTime(result.lastUs)}`;
  lines.push(
    `read WAL of timeline ${result.timeline} from ${formatLsn(result.fromLsn)} to ${formatLsn(result.toLsn)}: ${result.committed} transactions were committed in this time range${last}`,
  );
  return `${lines.join("\n")}\n`;
}

function notesOf({ beginUs, notes }: SearchResult): string[] {
  return beginUs === null
    ? [...notes]
    : [`the archive's WAL begins at ${formatTime(beginUs)}: earlier commits are unknown`, ...notes];
}

const SOURCES: Readonly<Record<WalSource, string>> = {
  archive: "",
  stream: "  (streamed)",
  pg_wal: "  (not archived yet)",
};

/** What a recovery to these transactions needs first. */
function sourceNotes({ transactions }: SearchResult): string[] {
  const isFrom = (wanted: WalSource): boolean => transactions.some(({ source }) => source === wanted);
  return [
    ...(isFrom("pg_wal")
      ? [
          "a restore cannot reach WAL that is not archived yet. recover and extract-table archive it first; pgbackstop check archives it now.",
        ]
      : []),
    ...(isFrom("stream")
      ? ["pgbackstop's restore_command can reach streamed WAL that is not archived yet; stock's cannot."]
      : []),
  ];
}

function transactionLines(
  { atUs, isCut, lsn, markers, preparedAs, source, targets, xid }: MatchedTransaction,
  form: TargetForm,
): string[] {
  const lines = [
    `${formatTime(atUs)}  xid ${xid}  lsn ${formatLsn(lsn)}${preparedAs === null ? "" : `  prepared as '${preparedAs}'`}${SOURCES[source]}`,
  ];
  for (const { databaseName, kind, name, object, partOf, rows } of markers.slice(0, MARKERS_SHOWN_MAX)) {
    const what =
      rows === null
        ? `${kind} ${object}`
        : `${kind} ${isCut ? "at least " : ""}${rows} ${rows === 1 ? "row" : "rows"} of ${object}`;
    const of = partOf.length === 0 ? "" : ` (part of ${partOf.join(", ")})`;
    lines.push(object === "database" ? `    ${what} ${databaseName}` : `    ${what} ${databaseName}: ${name}${of}`);
  }
  if (markers.length > MARKERS_SHOWN_MAX) lines.push(`    and ${markers.length - MARKERS_SHOWN_MAX} more`);
  const [best] = targets;
  lines.push(
    best === undefined
      ? "  no backup ended before it: it cannot be undone by recovery"
      : `  just before it: ${form === "cluster" ? clusterTarget(targets) : best.args.map(shellQuote).join(" ")}`,
  );
  if (preparedAs !== null && best?.type === "xid")
    lines.push(`    recovery restores it as prepared: end it with ROLLBACK PREPARED ${sqlText(preparedAs)}`);
  lines.push("");
  return lines;
}

/** The position, by which the restore chooses the backup: `target: { lsn: "0/1C0035E8", exclusive: true }`. */
function clusterTarget(targets: readonly Target[]): string {
  const position = targets.find(({ type }) => type === "lsn");
  const fields = Object.entries(position?.cluster ?? {}).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
  return `target: { ${fields.join(", ")} }`;
}

function sqlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function unknownLine({ afterUs, beforeUs, fromSegment, reason, toSegment }: UnknownSpan): string {
  const times = [
    afterUs === null ? "" : ` after ${formatTime(afterUs)}`,
    beforeUs === null ? "" : ` before ${formatTime(beforeUs)}`,
  ].join("");
  return `UNKNOWN: WAL from ${fromSegment} to ${toSegment} cannot be read (${reason}): its commits${times} are not shown`;
}

/** `version` 1; times are strings with microseconds, positions as PostgreSQL writes them. */
export function findJson(result: SearchResult): JsonValue {
  return {
    version: 1,
    timeline: result.timeline,
    fromLsn: formatLsn(result.fromLsn),
    toLsn: formatLsn(result.toLsn),
    lastAt: timeOrNull(result.lastUs),
    committed: result.committed,
    leftOut: result.leftOut,
    cut: result.cut,
    transactions: result.transactions.map((transaction) => ({
      xid: transaction.xid,
      at: formatTime(transaction.atUs),
      lsn: formatLsn(transaction.lsn),
      firstLsn: formatLsn(transaction.firstLsn),
      preparedAs: transaction.preparedAs,
      archived: transaction.source === "archive",
      source: transaction.source,
      cut: transaction.isCut,
      markers: transaction.markers.map(({ database, databaseName, isResolved, kind, name, object, partOf, rows }) => ({
        kind,
        object,
        databaseId: database,
        database: databaseName,
        name,
        partOf: [...partOf],
        resolved: isResolved,
        rows,
      })),
      targets: transaction.targets.map(({ args, cluster, set, target, type }) => ({
        type,
        target,
        set,
        args: [...args],
        cluster: { ...cluster },
      })),
    })),
    unknown: result.unknown.map(({ afterUs, beforeUs, fromSegment, reason, toSegment }) => ({
      fromSegment,
      toSegment,
      reason,
      after: timeOrNull(afterUs),
      before: timeOrNull(beforeUs),
    })),
    notes: notesOf(result),
  };
}

function timeOrNull(atUs: bigint | null): string | null {
  return atUs === null ? null : formatTime(atUs);
}
