/**
 * Builds every answer with a nested message, so that none is omitted. CloudNativePG reads
 * `capability.GetService().Type` and similar fields unchecked, and an unset message ends its process.
 */
import type { MetricDefinition } from "../../metrics/definitions";
import type { MetricSample } from "./messages";

type Service = "WAL_SERVICE" | "BACKUP_SERVICE" | "LIFECYCLE_SERVICE" | "RESTORE_JOB" | "METRICS";
type Call = "ARCHIVE_WAL" | "RESTORE_WAL" | "BACKUP" | "METRICS";
type Operation = "CREATE" | "EVALUATE";

export function pluginCapabilities(services: readonly Service[]) {
  return { capabilities: services.map((type) => ({ service: { type: `TYPE_${type}` } })) };
}

/** Common form of WAL, Backup and Metrics. */
export function callCapabilities(calls: readonly Call[]) {
  return { capabilities: calls.map((type) => ({ rpc: { type: `TYPE_${type}` } })) };
}

export function lifecycleCapabilities(
  kinds: readonly { readonly group: string; readonly kind: string; readonly operations: readonly Operation[] }[],
) {
  return {
    lifecycle_capabilities: kinds.map(({ group, kind, operations }) => ({
      group,
      kind,
      operation_types: operations.map((type) => ({ type: `TYPE_${type}` })),
    })),
  };
}

export function restoreJobCapabilities() {
  return { capabilities: [{ kind: "KIND_RESTORE" }] };
}

/** An empty patch is no bytes at all, not `[]`. */
export function patchAnswer(operations: readonly object[], text: string) {
  return { json_patch: operations.length === 0 ? new Uint8Array() : new TextEncoder().encode(text) };
}

export function metricDefinitions(metrics: readonly MetricDefinition[]) {
  return {
    metrics: metrics.map(({ name, help, labels }) => ({
      fq_name: name,
      help,
      variable_labels: labels,
      const_labels: {},
      value_type: { type: "TYPE_GAUGE" },
    })),
  };
}

/** Omits a sample that does not match its definition: it would cost the whole scrape. @throws never */
export function metricSamples(definitions: readonly MetricDefinition[], samples: readonly MetricSample[]) {
  const labelCounts = new Map(definitions.map(({ name, labels }) => [name, labels.length]));
  return {
    metrics: samples
      .filter(({ name, labels }) => labelCounts.get(name) === labels.length)
      .map(({ name, value, labels }) => ({ fq_name: name, value, variable_labels: labels })),
  };
}
