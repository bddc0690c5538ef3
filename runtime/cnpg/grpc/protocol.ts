/**
 * The services of CNPG-I for gRPC, from the `.proto` files in this folder, and the one set of rules that turns messages
 * into objects.
 */
import type { ServiceDefinition } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import { root as backup } from "../proto/backup.proto";
import { root as identity } from "../proto/identity.proto";
import { root as metrics } from "../proto/metrics.proto";
import { root as operator } from "../proto/operator.proto";
import { root as operatorLifecycle } from "../proto/operator_lifecycle.proto";
import { root as postgres } from "../proto/postgres.proto";
import { root as reconciler } from "../proto/reconciler.proto";
import { root as restoreJob } from "../proto/restore_job.proto";
import { root as wal } from "../proto/wal.proto";

/** Names on the wire; two services belong to another one's package. */
export const SERVICES = {
  identity: "cnpgi.identity.v1.Identity",
  operator: "cnpgi.operator.v1.Operator",
  lifecycle: "cnpgi.operator_lifecycle.v1.OperatorLifecycle",
  reconciler: "cnpgi.reconciler.v1.ReconcilerHooks",
  wal: "cnpgi.wal.v1.WAL",
  backup: "cnpgi.backup.v1.Backup",
  restoreJob: "cnpgi.wal.v1.RestoreJobHooks",
  postgres: "cnpgi.identity.v1.Postgres",
  metrics: "cnpgi.metrics.v1.Metrics",
} as const;
export type ServiceName = keyof typeof SERVICES;

/** `oneofs` distinguishes an absent `optional` from false; Number holds every time and duration of the protocol. */
const FORMS = { keepCase: true, longs: Number, enums: String, defaults: true, arrays: true, oneofs: true };

const FILES = [identity, operator, operatorLifecycle, reconciler, wal, backup, restoreJob, postgres, metrics];
const DEFINITIONS: Readonly<Record<string, ServiceDefinition>> = Object.assign(
  {},
  ...FILES.map((file) => fromJSON(file, FORMS)),
);

export function serviceOf(name: ServiceName): ServiceDefinition {
  return DEFINITIONS[SERVICES[name]] as ServiceDefinition;
}
