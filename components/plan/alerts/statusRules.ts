/** Alerts on what `pgbackstop status` reports, and no other rule sees in a figure. Pure. */
import { TROUBLE_ALERTS } from "../../../runtime/recoverability/troubles";
import type { AlertRule, Writer } from "./rule";

export function troubleRules(writer: Writer): AlertRule[] {
  const ok = "pgbackstop_status_ok";
  const isHost = writer.database.kind === "host";
  const command = `pgbackstop status --stanza=${writer.database.stanza}`;
  const [where, log] = isHost
    ? [`${command} on the host`, "the log of the agent, or of the metrics' unit,"]
    : [`${command} in the primary's sidecar`, "the log of the primary's sidecar"];
  return [
    ...TROUBLE_ALERTS.map(({ code, ofRepository, severity, summary }): AlertRule => {
      const own = writer.about({ trouble: code });
      return own.rule(
        severity,
        "PgbackstopNeedsAttention",
        "15m",
        `${own.series("pgbackstop_troubles")} > 0`,
        ofRepository ? `repo{{ $labels.repo_key }}: ${summary}` : summary,
        `${where} says what was seen, and what to do.`,
      );
    }),
    writer.warning(
      "PgbackstopStatusMissing",
      "1h",
      `absent(${writer.raw(ok)})`,
      "nobody judges its backups",
      `The metrics lack what pgbackstop status reports: ${log} says why.`,
    ),
  ];
}
