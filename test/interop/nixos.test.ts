/**
 * Nix itself reads the module that `pgbackstop render --format=nixos` writes. Every text must equal that of the plan.
 */
// claim: README.md: a backup server over…
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { hostParts } from "../../components/render/host/hostParts";
import { NIXOS_DIRECTORIES, renderNixos } from "../../components/render/host/nixos";
import { findNix } from "../../tools/parts/debian/nix";
import { BUCKET, plan } from "../components/plans";
import { loud } from "../harness/real/interopParts";

interface Module {
  readonly etc: Readonly<Record<string, { readonly mode?: string; readonly text?: string; readonly source: string }>>;
  readonly units: Readonly<Record<string, { readonly text: string; readonly wantedBy?: readonly string[] }>>;
  readonly settings: Readonly<Record<string, string>>;
  readonly rules: readonly string[];
}

const EVALUATE = `{ file }:
let module = import file { config = {}; lib = {}; pkgs = { nodejs_24 = "node"; perl = "/perl"; }; };
in builtins.toJSON {
  etc = builtins.mapAttrs (name: value: value // { source = toString (value.source or ""); }) module.environment.etc;
  units = module.systemd.units;
  settings = module.services.postgresql.settings;
  rules = module.systemd.tmpfiles.rules;
}`;

function withSecrets(text: string): string {
  return text.replaceAll("/etc/pgbackstop/credentials/", "/run/secrets/pg/");
}

// claim: docs/hosts/nixos.md: a NixOS module has the texts that an update over SSH writes, and no secret (Nix itself
//   reads it; no NixOS was booted)
test("every text of a module equals what an update over SSH writes", async (context) => {
  const nix = await findNix();
  if ("missing" in nix) {
    loud("a module of NixOS", nix.missing);
    return context.skip();
  }
  // Characters with a meaning in Nix must come out unchanged.
  const socketDirectory = "/run/it is ~postgres";
  const made = plan({
    socketDirectory,
    repositories: { repo1: BUCKET },
    directories: { ...NIXOS_DIRECTORIES, spool: "/var/spool/a b" },
  });
  const folder = mkdtempSync(join(tmpdir(), "pgb-nix-"));
  try {
    writeFileSync(
      join(folder, "module.nix"),
      renderNixos(made, { secretsDirectory: "/run/secrets/pg", installNode: true }),
    );
    writeFileSync(join(folder, "pgbackrest-client"), "#!/usr/bin/perl\nuse Socket;\n");
    writeFileSync(join(folder, "evaluate.nix"), EVALUATE);
    const module = JSON.parse(
      await nix.evaluate(join(folder, "evaluate.nix"), { file: join(folder, "module.nix") }, folder),
    ) as Module;
    const { files, settings, units } = hostParts(made);
    for (const { mode, path, text } of files) {
      const shown = module.etc[path.slice("/etc/".length)];
      expect(shown?.mode).toBe(mode);
      expect(shown?.text).toBe(withSecrets(text));
    }
    expect(module.etc["pgbackstop/lib/runtime.cjs"]?.source).toBe(join(folder, "runtime.cjs"));
    for (const { enabled, name, text } of units) {
      expect(module.units[name]?.text.replace(/^X-Restart-Triggers=.*\n/m, "")).toBe(withSecrets(text));
      expect((module.units[name]?.wantedBy ?? []).length > 0).toBe(enabled);
    }
    expect(module.etc["pgbackstop/lib/pgbackrest-client"]?.text).toBe("#!/perl/bin/perl\nuse Socket;\n");
    expect(module.settings).toEqual(settings);
    expect(module.rules).toContain('d "/var/spool/a b" 0750 postgres postgres -');
    expect(module.rules).toContain('d "/var/spool/a b/lock" 0750 postgres postgres -');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
