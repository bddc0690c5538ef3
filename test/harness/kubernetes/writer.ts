/**
 * A client of a cluster: a pod that inserts rows with ascending ids through the Service for writing, one commit each,
 * and notes each commit that was acknowledged. An id is never used again: one whose commit was not acknowledged may or
 * may not be there.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { POSTGRES_IMAGE } from "./images";
import type { Lab } from "./lab";

export interface Acknowledged {
  readonly id: number;
  /** When the client had the answer, ms since 1970. */
  readonly atMs: number;
}

/** Each connection has as many ids of its own. */
const SESSION_IDS = 1_000_000;
const SCRIPT = `
for session in $(seq 1 999999); do
  (
    id=$((session * ${SESSION_IDS}))
    while id=$((id + 1)); do
      echo "insert into load (id) values ($id);"
      echo "\\echo $id"
      sleep 0.03
    done
  ) | stdbuf -oL psql -XAtq -v ON_ERROR_STOP=1 "host=$HOST dbname=app user=app connect_timeout=3 tcp_user_timeout=5000" |
    while read -r id; do echo "ack $id $EPOCHREALTIME"; done
  sleep 0.3
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

/** All so far, in the order of their acknowledgement; also when it is gone. */
export function acknowledged({ logFolder }: Lab): readonly Acknowledged[] {
  const file = join(logFolder, "pods", "default_writer_main.log");
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  return [...text.matchAll(/^ack (\d+) (\d+\.\d+)$/gm)].map(([, id, at]) => ({
    id: Number(id),
    atMs: Number(at) * 1000,
  }));
}

/** The connection that an id belongs to, counted from one. */
export function sessionOf(id: number): number {
  return Math.floor(id / SESSION_IDS);
}

/** Stops it; its notes stay. */
export async function stopWriter({ kubectl }: Lab): Promise<void> {
  await kubectl.runOk(["delete", "pod", "writer", "-n", "default", "--timeout=60s"]);
}
