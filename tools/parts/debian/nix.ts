/** Evaluates the Nix language with Debian's nix-instantiate: unpacked and not installed, without a store. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { unpackDebian } from "./debian";
import { runOk } from "../process";

export interface Nix {
  /**
   * The text that the function in `file` returns for paths as arguments.
   * @param scratch for Nix's own files
   * @throws Error for a syntax error
   */
  evaluate(file: string, paths: Readonly<Record<string, string>>, scratch: string): Promise<string>;
}

/** The program, or what this machine lacks. */
export async function findNix(): Promise<Nix | { readonly missing: string }> {
  const unpacked = await unpackDebian({
    entry: "nix-bookworm",
    suite: "bookworm",
    packages: ["nix-bin"],
    programs: ["usr/bin/nix"],
  });
  if ("missing" in unpacked) return unpacked;
  const { folder } = unpacked;
  // Its libraries do not search where the program's interpreter does.
  const libraries = ["usr/lib/nix", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"]
    .map((path) => join(folder, path))
    .join(":");
  return {
    evaluate: async (file, paths, scratch) => {
      const state = join(scratch, "nix");
      mkdirSync(state, { recursive: true });
      const env = {
        LD_LIBRARY_PATH: libraries,
        NIX_STATE_DIR: state,
        NIX_CONF_DIR: state,
        NIX_REMOTE: "",
        HOME: state,
      };
      const args = Object.entries(paths).flatMap(([name, path]) => ["--arg", name, path]);
      const text = await runOk(
        join(folder, "usr/bin/nix-instantiate"),
        ["--store", "dummy://", "--eval", "--strict", "--json", ...args, file],
        {
          env,
        },
      );
      return JSON.parse(text) as string;
    },
  };
}
