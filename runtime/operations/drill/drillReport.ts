/** A drill's record for a terminal. Pure. */
import { durationText } from "../../base/units";
import { ATTACK, type DrillOpened, type DrillRecord } from "./record";

export function drillText(record: DrillRecord): string {
  const {
    backup,
    checks,
    failures,
    id,
    objectives,
    ok,
    opened,
    phases,
    pick,
    repo,
    restoredBytes,
    rpo,
    rtoMs,
    startedAtS,
    stanza,
    target,
  } = record;
  const isAttack = pick === ATTACK;
  const lines = [`${stanza}: drill ${id} ${isAttack ? "attacks" : "of"} repo${repo}: ${ok ? "passed" : "FAILED"}`];
  if (backup !== null) {
    const end =
      target === null
        ? "to the end of the archive"
        : target === "immediate"
          ? "until it is consistent"
          : `to ${target}`;
    lines.push(
      row(
        "backup",
        `${backup.label} (${backup.type}), ended ${durationText(Math.max(0, startedAtS - backup.stoppedAtS))} before; ${pick}, ${end}`,
      ),
    );
  }
  const spent = phases.map(({ elapsedMs, name }) => `${name} ${seconds(elapsedMs)}`).join(", ");
  const rto =
    rtoMs === null
      ? `none: no connection was accepted (${spent})`
      : `${seconds(rtoMs)}${promised(objectives.rtoSeconds)} (${spent})`;
  if (opened === undefined) lines.push(isAttack ? row("phases", spent) : row("RTO", rto));
  else lines.push(...openedRows(opened, spent));
  if (rpo !== null) {
    const wal = rpo.lostWalBytes === null ? "" : `; ${rpo.lostWalBytes} bytes of WAL were not archived`;
    lines.push(row("RPO", `${rpo.seconds} s by ${METHODS[rpo.method]}${promised(objectives.rpoSeconds)}${wal}`));
  }
  if (restoredBytes > 0) lines.push(row("restored", `${restoredBytes} bytes`));
  for (const { elapsedMs, name, text, verdict } of checks) {
    const [first = ""] = text.split("\n");
    lines.push(row(verdict, `${name}${isAttack ? "" : `, ${seconds(elapsedMs)}`}: ${first}`));
  }
  for (const { code, error, message, where } of failures)
    lines.push(`  ! ${where}: [${error}] [${String(code).padStart(3, "0")}] ${message.replaceAll("\n", "\n    ")}`);
  return `${lines.join("\n")}\n`;
}

function openedRows({ elapsedMs, fetchedBytes, totalBytes }: DrillOpened, spent: string): string[] {
  const first =
    elapsedMs === null ? "no connection was accepted" : `first connection after ${seconds(elapsedMs)}, no RTO`;
  return [
    row("opened", `${first} (${spent})`),
    row("fetched", `${fetchedBytes} of ${totalBytes} bytes, each page verified`),
  ];
}

const METHODS = { backup: "the end of the backup", commit: "the last commit", heartbeat: "heartbeat" } as const;

function promised(value: number | undefined): string {
  return value === undefined ? "" : `, objective ${value} s`;
}

function seconds(elapsedMs: number): string {
  return `${(elapsedMs / 1000).toFixed(1)} s`;
}

function row(name: string, text: string): string {
  return `  ${name.padEnd(9)} ${text}`;
}

/** The drill's notification: without error messages, which may quote a table. */
export function drillNotice({ backup, failures, id, ok, opened, pick, repo, rpo, rtoMs }: DrillRecord): {
  readonly ok: boolean;
  readonly title: string;
  readonly lines: readonly string[];
  readonly repo: number;
} {
  const lines = [
    `drill: ${id}`,
    ...(backup === null ? [] : [`backup: ${backup.label} (${backup.type})`]),
    ...(rtoMs === null ? [] : [`time to the first connection: ${Math.round(rtoMs / 1000)} s`]),
    ...(opened === undefined ? [] : ["the backup was opened, not restored: no RTO"]),
    ...(rpo === null ? [] : [`lost: ${Math.round(rpo.seconds)} s (by ${rpo.method})`]),
    ...failures.map(({ code, error, where }) => `failed: ${where}, ${error} (${code})`),
  ];
  const what = pick === ATTACK ? "attack drill" : "fire drill";
  return { ok, title: `${what} of repo${repo} ${ok ? "passed" : "failed"}`, lines, repo };
}
