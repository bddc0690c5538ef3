/**
 * Alerts on streamed WAL, for each repository. Age is measured against the time of the scrape's data: a collector that
 * reads every few minutes would otherwise look like a stalled stream. Pure.
 */
import { worstCaseRpo } from "../schedule/objectives";
import type { Topology } from "../topology/topology";
import type { AlertRule, Writer } from "./rule";

/** The agent publishes its position every five seconds. */
const AGE_S_MIN = 60;
/** Beyond the worst case: one hiccup more. */
const WORST_CASES = 2;
/** A commit that waits as long is no slow upload. */
const HANG_S = 30;
const COLLECTED = "pgbackstop_collected_timestamp_seconds";
const STREAMED = "pgbackstop_repo_stream_timestamp_seconds";
/** Long enough to be seen; the alert ends by itself. */
const LOSSES_WITHIN = "6h";

export function streamRules(writer: Writer, { databases, repositories }: Topology): AlertRule[] {
  const intervalSeconds = databases[0]?.streamIntervalSeconds;
  const worst =
    intervalSeconds === undefined
      ? null
      : worstCaseRpo({ archiveTimeoutSeconds: undefined, streamIntervalSeconds: intervalSeconds });
  if (worst === null) return [];
  const limitS = Math.max(AGE_S_MIN, WORST_CASES * worst.totalSeconds);
  const isHost = writer.database.kind === "host";
  const receiver = isHost ? "agent" : "sidecar of the primary";
  const waits = databases[0]?.synchronous === undefined ? [] : synchronousRules(writer);
  const perRepository = repositories.flatMap(({ key }) => {
    const own = writer.about({ repo_key: String(key) });
    return [
      own.critical(
        "PgbackstopStreamBehind",
        "5m",
        // Sidecars calculate it during the scrape.
        isHost
          ? `${writer.series(COLLECTED)} - on (stanza, instance) group_right () ${own.series(STREAMED)} > ${limitS}`
          : `time() - ${own.series(STREAMED)} > ${limitS}`,
        `repo${key} has been without the newest WAL for {{ $value | humanizeDuration }}`,
        `Streaming promises ${worst.totalSeconds} s at worst. PostgreSQL still archives complete segments. pgbackstop check and the log of the ${receiver} name the fault.`,
      ),
      own.critical(
        "PgbackstopStreamMissing",
        "15m",
        `absent(${own.raw(STREAMED)})`,
        `nothing is streamed into repo${key}`,
        `Streaming is declared, but no ${isHost ? "agent" : "sidecar"} reports it: the ${receiver} is dead, or cannot receive WAL. pgbackstop check says why.`,
      ),
      own.critical(
        "PgbackstopStreamLost",
        "0m",
        `${own.growth("pgbackstop_repo_stream_losses", LOSSES_WITHIN)} > 0`,
        `stored WAL vanished from repo${key}`,
        `Something other than pgbackstop removes files there: a lifecycle rule, a person, a restored snapshot. The ${receiver} stores its WAL again; run pgbackstop verify for the rest.`,
      ),
    ];
  });
  return [...perRepository, ...waits];
}

/** A host whose WAL leaves through a replication slot. */
export function slotRules(writer: Writer): AlertRule[] {
  const [kept, left] = ["pgbackstop_slot_retained_bytes", "pgbackstop_slot_safe_bytes"].map((name) =>
    writer.series(name),
  );
  return [
    writer.critical(
      "PgbackstopSlotNotRead",
      "5m",
      `${writer.series("pgbackstop_slot_active")} == 0`,
      "nobody archives the server's WAL",
      "The agent is dead, or the server refuses it. WAL is only on this host, and the slot keeps it. pgbackstop status and the agent's log say why.",
    ),
    writer.critical(
      "PgbackstopSlotNearLimit",
      "5m",
      `${left} < 0.25 * (${left} + ${kept})`,
      "the replication slot soon loses WAL: {{ $value | humanize }}B are left",
      "Too few repositories accept WAL, or the agent is dead. Beyond max_slot_wal_keep_size the server drops WAL, and a new backup is due: repair it, or raise slotKeepGiB if the disk has space.",
    ),
  ];
}

function synchronousRules(writer: Writer): AlertRule[] {
  const isHost = writer.database.kind === "host";
  return [
    writer.critical(
      "PgbackstopCommitsDoNotWait",
      "1m",
      `${writer.series("pgbackstop_stream_synchronous")} == 0`,
      "commits are acknowledged before a repository holds them",
      isHost
        ? "A lost host loses commits now. The agent's log and pgbackstop status say which repository does not answer, or who has changed synchronous_standby_names."
        : "A lost cluster loses commits now: somebody has changed postgresql.synchronous of the Cluster. The log of the primary's sidecar says so.",
    ),
    writer.critical(
      "PgbackstopCommitsHang",
      "1m",
      `${writer.series("pgbackstop_stream_waiting_seconds")} > ${HANG_S}`,
      "commits have waited for repositories for {{ $value | humanizeDuration }}",
      `Every write waits until the repositories answer. pgbackstop status and the log of the ${isHost ? "agent" : "primary's sidecar"} name the one that does not; the recovery runbook explains how to end the wait by hand.`,
    ),
  ];
}
