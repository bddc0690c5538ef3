/** Alerts on what `pgbackstop status` reports, and no other rule sees in a figure. Pure. */
import { TROUBLE_ALERTS } from "../../../runtime/recoverability/troubles";
import type { AlertRule, Writer } from "./rule";

/** Hosts only: the runtime of a cluster has no `status`. */
export function troubleRules(writer: Writer): AlertRule[] {
  const ok = "pgbackstop_status_ok";
  return [
    ...TROUBLE_ALERTS.map(({ code, ofRepository, severity, summary }): AlertRule => {
      const own = writer.about({ trouble: code });
      return own.rule(
        severity,
        "PgbackstopNeedsAttention",
        "15m",
        `${own.series("pgbackstop_troubles")} > 0`,
        ofRepository ? `repo{{ $labels.repo_key }}: ${summary}` : summary,
        `pgbackstop status --stanza=${writer.database.stanza} on the host says what was seen, and what to do.`,
      );
    }),
    writer.warning(
      "PgbackstopStatusMissing",
      "1h",
      `absent(${writer.raw(ok)})`,
      "nobody judges its backups",
      "The metrics lack what pgbackstop status reports: the log of the agent, or of the metrics' unit, says why.",
    ),
  ];
}
