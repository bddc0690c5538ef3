/** Prometheus' own tool, for rules, metrics and queries: out of Debian's package, never installed. */
import { debianProgram, type Missing } from "./debian";
import { findOnPath } from "../process";

/** The program, or what this machine lacks. */
export async function ensurePromtool(): Promise<{ readonly promtool: string } | Missing> {
  const installed = await findOnPath("promtool");
  if (installed !== null) return { promtool: installed };
  const wanted = {
    entry: "promtool",
    suite: "bookworm",
    packages: ["prometheus"],
    drop: ["usr/bin/prometheus", "usr/share"],
  };
  const promtool = await debianProgram("usr/bin/promtool", wanted);
  return typeof promtool === "string" ? { promtool } : promtool;
}
