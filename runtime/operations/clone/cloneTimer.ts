/**
 * The end of a clone's life: a timer of systemd that runs `close`. It is on the disk before the clone is opened, and
 * runs after a restart of the machine too, also if the time passed while the machine was off.
 */
import { ERRORS, fail, toBackupError } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import type { Log } from "../../base/log";
import { atomicWrite } from "../../local/atomicWrite";
import { existsSync, rm } from "../../local/nodeFiles";
import type { ProgramEnd } from "../../local/program";
import { utf8 } from "../../base/bytes";

export interface TimerTools {
  program(args: readonly string[]): Promise<ProgramEnd>;
  readonly log: Log;
}

/** Where systemd's unit files of administrators are. */
const UNITS = "/etc/systemd/system";
const NAME_DIGITS = 12;

export function timerName(at: string): string {
  return `pgbackstop-clone-${sha1Hex(at).slice(0, NAME_DIGITS)}`;
}

export function timerUnits(at: string, endsAtMs: number, closeArgv: readonly string[]): Record<string, string> {
  const name = timerName(at);
  // systemd has whole seconds.
  const end = new Date(Math.ceil(endsAtMs / 1000) * 1000).toISOString().slice(0, 19).replace("T", " ");
  const title = at.replaceAll("%", "%%");
  return {
    [`${name}.service`]: `# Made by pgbackstop clone.
[Unit]
Description=pgbackstop: end of the clone in ${title}
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=${closeArgv.map(unitArgument).join(" ")}
# It was closed already.
SuccessExitStatus=${ERRORS.fileMissing}
Restart=on-failure
RestartSec=60
`,
    [`${name}.timer`]: `# Made by pgbackstop clone.
[Unit]
Description=pgbackstop: end of the clone in ${title}

[Timer]
OnCalendar=${end} UTC
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
`,
  };
}

/** systemd.service(5): `%` and `$` begin placeholders, quotes and backslashes are escaped. */
function unitArgument(text: string): string {
  const literal = text.replaceAll("%", "%%").replaceAll("$", "$$$$");
  return /^[A-Za-z0-9_@+=:,.%$/-]+$/.test(literal)
    ? literal
    : `"${literal.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** @throws featureNotSupported without systemd */
export function requireSystemd(): void {
  if (existsSync("/run/systemd/system")) return;
  throw fail("featureNotSupported", "a clone's life ends by a timer of systemd, which does not run on this machine", {
    hint: "Omit --lifetime-hours, and close the clone yourself.",
  });
}

/** @throws fileWrite, execute */
export async function startTimer(
  at: string,
  endsAtMs: number,
  closeArgv: readonly string[],
  { program }: TimerTools,
): Promise<void> {
  for (const [name, text] of Object.entries(timerUnits(at, endsAtMs, closeArgv)))
    await atomicWrite(`${UNITS}/${name}`, utf8(text), { mode: 0o644 });
  for (const args of [["daemon-reload"], ["enable", "--quiet", "--now", `${timerName(at)}.timer`]]) {
    const { exitCode, stderr } = await program(["systemctl", ...args]);
    if (exitCode !== 0) throw fail("execute", `unable to start the timer of the clone: ${stderr.trim()}`);
  }
}

/** Also from the timer's own service. */
export async function removeTimer(at: string, { log, program }: TimerTools): Promise<void> {
  const name = timerName(at);
  const files = [`${UNITS}/${name}.timer`, `${UNITS}/${name}.service`];
  if (!files.some((path) => existsSync(path))) return;
  try {
    await program(["systemctl", "disable", "--quiet", "--now", `${name}.timer`]);
    for (const path of files) await rm(path, { force: true });
    await program(["systemctl", "daemon-reload"]);
  } catch (error) {
    // The clone is closed; a timer that is left finds nothing, and tries again to go.
    log.warn(`unable to remove timer ${name}: ${toBackupError(error).message}`);
  }
}
