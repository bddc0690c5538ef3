/**
 * A client of a cluster: a pod that inserts rows with ascending ids through the read-write Service, one commit each,
 * and logs each acknowledged commit. It never reuses an id. A row whose commit was not acknowledged may or may not
 * exist.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { POSTGRES_IMAGE } from "./images";
import type { Lab } from "./lab";

export interface Acknowledged {
  readonly id: number;
  /** When the client received the answer, in ms since 1970. */
  readonly atMs: number;
}

/** The number of ids reserved for each connection. */
const SESSION_IDS = 1_000_000;
/** A `read` that finds nothing is bash's own pause: a process for each pause would keep a sixth of a processor busy. */
const SCRIPT = `
exec {never}<> <(:)
for session in $(seq 1 999999); do
  (
    id=$((session * ${SESSION_IDS}))
    while id=$((id + 1)); do
      echo "insert into load (id) values ($id);"
      echo "\\echo $id"
      read -rt 0.03 -u $never
    done
  ) | stdbuf -oL psql -XAtq -v ON_ERROR_STOP=1 "host=$HOST dbname=app user=app connect_timeout=3 tcp_user_timeout=5000" |
    while read -r id; do echo "ack $id $EPOCHREALTIME"; done
  read -rt 0.3 -u $never
done`;

/** Starts writing into the table `load` of a cluster's database `app`. */
export async function startWriter({ kubectl }: Lab, cluster: string): Promise<void> {
  const env = [
    { name: "HOST", value: `${cluster}-rw` },
    { name: "PGPASSWORD", valueFrom: { secretKeyRef: { name: `${cluster}-app`, key: "password" } } },
  ];
  const container = { name: "main", image: POSTGRES_IMAGE, command: ["bash", "-c", SCRIPT], env };
  const pod = { terminationGracePeriodSeconds: 1, securityContext: { runAsUser: 26 }, containers: [container] };
  await kubectl.apply([
    { apiVersion: "v1", kind: "Pod", metadata: { name: "writer", namespace: "default" }, spec: pod },
  ]);
}

/** All acknowledged commits so far, in order of acknowledgement. Works after the writer has stopped, too. */
export function acknowledged({ logFolder }: Lab): readonly Acknowledged[] {
  const file = join(logFolder, "pods", "default_writer_main.log");
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  return [...text.matchAll(/^ack (\d+) (\d+\.\d+)$/gm)].map(([, id, at]) => ({
    id: Number(id),
    atMs: Number(at) * 1000,
  }));
}

/** Waits until so many more commits are acknowledged. */
export async function moreAcknowledged(lab: Lab, count: number): Promise<void> {
  const before = acknowledged(lab).length;
  await expect.poll(() => acknowledged(lab).length, { timeout: 300_000 }).toBeGreaterThanOrEqual(before + count);
}

/** The connection that an id belongs to, counted from 1. */
export function sessionOf(id: number): number {
  return Math.floor(id / SESSION_IDS);
}

/** Stops the writer. Its log stays. */
export async function stopWriter({ kubectl }: Lab): Promise<void> {
  await kubectl.runOk(["delete", "pod", "writer", "-n", "default", "--timeout=60s"]);
}
