/** Prometheus' own tool, for rules, metrics and queries: out of Debian's package, never installed. */
import { join } from "node:path";
import { unpackDebian } from "./debian";
import { findOnPath } from "./process";

/** The program, or what this machine lacks. */
export async function ensurePromtool(): Promise<{ readonly promtool: string } | { readonly missing: string }> {
  const installed = await findOnPath("promtool");
  if (installed !== null) return { promtool: installed };
  const unpacked = await unpackDebian({
    entry: "promtool",
    suite: "bookworm",
    packages: ["prometheus"],
    programs: ["usr/bin/promtool"],
    drop: ["usr/bin/prometheus", "usr/share"],
  });
  return "missing" in unpacked ? unpacked : { promtool: join(unpacked.folder, "usr/bin/promtool") };
}
