#!/usr/bin/env node
/**
 * The package's one command, `pgbackstop`: `topology`, `render`, `alerts`, `dashboard` and `explain` are answered here; pgBackRest's verbs are handed to the runtime of this package in this
 * same process, so that arguments, streams, signals and exit codes are the runtime's own. Neither loads what only the other needs.
 */
import { runtimeBundlePath } from "../internal/runtimeBundle";

if (process.argv[2] === "topology") {
  const { topologyMain } = require("./topology") as typeof import("./topology");
  process.exitCode = topologyMain(process.argv.slice(3));
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
  // In the place of this file, so that worker threads and restore_command name the bundle itself. It refuses a Node that is too old.
  process.argv[1] = runtimeBundlePath();
  require(process.argv[1]);
}
