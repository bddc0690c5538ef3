#!/usr/bin/env node
/**
 * The package's one command, `pgbackstop`. It answers `topology`, `render`, `alerts`, `dashboard` and `explain` here.
 * It passes pgBackRest's verbs to the package's runtime in this same process, so that arguments, streams, signals and
 * exit codes are the runtime's own. Each side loads only its own parts.
 */
import { runtimeBundlePath } from "../internal/runtimeBundle";

if (process.argv[2] === "topology") {
  const { topologyMain } = require("./topology") as typeof import("./topology");
  void Promise.resolve(topologyMain(process.argv.slice(3))).then((code) => (process.exitCode = code));
} else if (process.argv[2] === "render") {
  const { renderMain } = require("./render") as typeof import("./render");
  process.exitCode = renderMain(process.argv.slice(3));
} else if (process.argv[2] === "alerts" || process.argv[2] === "dashboard") {
  const { monitoringMain } = require("./monitoring") as typeof import("./monitoring");
  process.exitCode = monitoringMain(process.argv[2], process.argv.slice(3));
} else if (process.argv[2] === "explain") {
  const { explainMain } = require("./explain") as typeof import("./explain");
  process.exitCode = explainMain(process.argv.slice(3));
} else {
  // Replaces this file, so that worker threads and restore_command name the bundle itself, which refuses old Node
  // versions.
  process.argv[1] = runtimeBundlePath();
  require(process.argv[1]);
}
