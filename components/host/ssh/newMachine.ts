/** A machine that the same update has just made: it does not answer yet, and then it is not set up yet. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Connection, LogLine } from "../connection";
import { NoAnswer, SignInRefused } from "./sshClient";
import type { DialLimits } from "./sshTarget";

const WAIT_SECONDS = 300;
const PAUSE_FIRST_MS = 1000;
const PAUSE_GROWTH = 1.5;
const PAUSE_MAX_MS = 15_000;
/** A machine refuses logins while it boots (pam_nologin). More failed logins could get this machine banned. */
const REFUSALS_MAX = 3;

export interface DialTime {
  nowMs(): number;
  sleep(pauseMs: number): Promise<unknown>;
}

const REAL_TIME: DialTime = { nowMs: Date.now, sleep: (pauseMs) => sleep(pauseMs) };

/**
 * Connects, with growing pauses while the host does not answer. A host that answers with another key or refuses the
 * login fails immediately, except that a host that was silent before may still be booting.
 * @throws what `connect` throws at last
 */
export async function dial<T>(
  host: string,
  { errorsMax = -1, waitSeconds = WAIT_SECONDS }: DialLimits,
  connect: () => Promise<T>,
  log: LogLine,
  time: DialTime = REAL_TIME,
): Promise<T> {
  const beganMs = time.nowMs();
  let pauseMs = PAUSE_FIRST_MS;
  let silences = 0;
  let refusals = 0;
  for (let failures = 1; ; failures += 1) {
    try {
      const connection = await connect();
      if (failures > 1) log(`${host} answers after ${secondsSince(beganMs, time)} s`);
      return connection;
    } catch (error) {
      if (!(error instanceof NoAnswer || error instanceof SignInRefused)) throw error;
      if (error instanceof NoAnswer) silences += 1;
      else refusals += 1;
      const isBooting = silences > 0 && refusals <= REFUSALS_MAX;
      const leftMs = beganMs + waitSeconds * 1000 - time.nowMs();
      if (!isBooting || leftMs <= 0 || (errorsMax >= 0 && failures > errorsMax)) throw error;
      log(`waiting for ${host} (${secondsSince(beganMs, time)} of ${waitSeconds} s): ${error.message}`);
      await time.sleep(Math.min(pauseMs, leftMs));
      pauseMs = Math.min(pauseMs * PAUSE_GROWTH, PAUSE_MAX_MS);
    }
  }
}

function secondsSince(beganMs: number, { nowMs }: DialTime): number {
  return Math.round((nowMs() - beganMs) / 1000);
}

/** cloud-init's own words for a run that has not ended. */
const AWAIT_CLOUD_INIT = `command -v cloud-init >/dev/null 2>&1 || exit 0
case $(cloud-init status 2>/dev/null) in
  *running*|*'not run'*|*'not started'*) ;;
  *) exit 0 ;;
esac
echo running
exec cloud-init status --wait >/dev/null 2>&1`;
/** 128 + SIGTERM, and what `timeout` itself returns. */
const TIMED_OUT = [143, 124];

/**
 * Waits for the end of cloud-init, if the host has it and it runs: until then it installs packages and makes accounts.
 * @throws Error if it needs longer
 */
export async function awaitCloudInit(
  connection: Connection,
  { waitSeconds = WAIT_SECONDS }: DialLimits,
  log: LogLine,
): Promise<void> {
  const { exitCode } = await connection.exec(["/bin/sh", "-c", AWAIT_CLOUD_INIT], {
    timeoutMs: Math.max(waitSeconds, 1) * 1000,
    onLine: () => log(`waiting for cloud-init on ${connection.name}, up to ${waitSeconds} s`),
  });
  if (TIMED_OUT.includes(exitCode)) {
    throw new Error(
      `cloud-init on ${connection.name} has not ended after ${waitSeconds} s: look at /var/log/cloud-init-output.log there, ` +
        "or raise connection.waitSeconds, and run the update again",
    );
  }
  if (exitCode !== 0) log(`cloud-init on ${connection.name} reports errors: see "cloud-init status --long" there`);
}
