/** `pgbackstop render --format=nixos`: a host's plan as a module. test/interop/nixos.test.ts evaluates it with Nix. */
// claim: docs/hosts/nixos.md: a NixOS module has…
import { expect, test } from "vitest";
import { hostParts } from "../../../../components/render/host/hostParts";
import { renderNixos } from "../../../../components/render/host/nixos";
import { type FileHost, renderNixosHost } from "../../../../components/render/host/nixosFile";
import { plan } from "../../plans";

const HOST: FileHost = {
  dataDirectory: "/var/lib/postgresql/17",
  repositories: {
    repo1: { at: { path: "/mnt/nas/pg", requireMount: true, encrypted: true }, keepDays: 7 },
    repo2: {
      at: {
        encrypted: true,
        s3: { bucket: "ledger", endpoint: "s3.eu-central-003.backblazeb2.com", region: "eu-central-003" },
      },
      keepDays: 60,
    },
  },
  schedules: { full: { cron: "30 2 * * 0", timeZone: "Europe/Berlin" } },
  objectives: { rpoSeconds: 300 },
};

test("has every file, unit and setting of an update over SSH", () => {
  const { findings, text } = renderNixosHost("ledger", { hosts: { ledger: HOST } });
  expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
  const lines = (text ?? "").split("\n").map((line) => line.trim());
  for (const line of [
    "environment.systemPackages = [ pkgs.nodejs_24 ];",
    '"pgbackstop/lib/runtime.cjs".source = ./runtime.cjs;',
    '"pgbackstop/pgbackrest.conf" = {',
    "repo2-s3-bucket=ledger",
    '"pgbackstop-main-full.timer" = {',
    'wantedBy = [ "timers.target" ];',
    "OnCalendar=Sun *-*-* 02:30:00 Europe/Berlin",
    '"pgbackstop-main-stanza.service" = {',
    'archive_mode = "on";',
    '"d /var/spool/pgbackrest 0750 postgres postgres -"',
  ]) {
    expect(lines).toContain(line);
  }
  // The module must not create a mount point.
  expect(text).not.toContain('"d /mnt/nas');
});

test("the password of the report and the file of a receiver are in the directory of secrets", () => {
  const monitoring = { listen: "127.0.0.1:9854", servesReport: true, otlp: {} };
  const agent = { ...HOST, agent: true, monitoring };
  const { findings, text } = renderNixosHost("ledger", { hosts: { ledger: agent } });
  expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
  for (const id of ["report-password", "otlp.env"]) expect(text).toContain(`#   /run/secrets/pgbackstop/${id}`);
});

test("a host that only restores has the directory that its commands name", () => {
  const settings = { secretsDirectory: "/run/secrets/pg", installNode: false };
  const rule = '"d /etc/pgbackstop/conf.d 0750 postgres postgres -"';
  expect(renderNixos(plan({ restoreOnly: true, schedules: {} }), settings)).toContain(rule);
  expect(renderNixos(plan(), settings)).not.toContain(rule);
});

test("includes all units of the plan", () => {
  const made = plan();
  const text = renderNixos(made, { secretsDirectory: "/run/secrets/pg", installNode: false });
  for (const { name } of hostParts(made).units) expect(text).toContain(`"${name}" = {`);
  expect(text).not.toContain("systemPackages");
});

// claim: docs/hosts/nixos.md: `nixos-rebuild switch` restarts an agent whose configuration changed (texts of the unit)
test("an agent whose configuration changed has another text, so that NixOS restarts it", () => {
  const agentOf = (over: Parameters<typeof plan>[0]): string => {
    const text = renderNixos(plan(over), { secretsDirectory: "/run/secrets/pg", installNode: false });
    return /"pgbackstop-main-agent\.service" = \{.*?\n {4}\};/s.exec(text)?.[0] ?? "";
  };
  const one = agentOf({ acknowledge: { mode: "any" } });
  expect(one).toMatch(/\n +\[Unit\]\n +X-Restart-Triggers=[0-9a-f]{64}\n/);
  expect(agentOf({ acknowledge: { mode: "any" } })).toBe(one);
  expect(agentOf({ acknowledge: { mode: "all" } })).not.toBe(one);
  const text = renderNixos(plan(), { secretsDirectory: "/run/secrets/pg", installNode: false });
  expect(text.match(/X-Restart-Triggers/g)).toHaveLength(1);
});

test("a file with a secret, or with a path that NixOS does not write, is refused", () => {
  const at: object = { path: "/b", cipher: { passphrase: "marker" } };
  const withKey: FileHost = { ...HOST, repositories: { repo1: { at, keepDays: 1 } } };
  const secret = renderNixosHost("ledger", { hosts: { ledger: withKey } });
  expect(secret.text).toBeNull();
  expect(secret.findings.map(({ code, path }) => `${code} ${path}`)).toEqual([
    "PB116 hosts.ledger.repositories.repo1.at.cipher",
  ]);
  expect(JSON.stringify(secret)).not.toContain("marker");
  const monitoring: object = {
    listen: "127.0.0.1:9854",
    reportPassword: "marker",
    otlp: { headers: { key: "marker" } },
  };
  const withPassword = renderNixosHost("ledger", { hosts: { ledger: { ...HOST, monitoring } } });
  expect(withPassword.findings.map(({ code, path }) => `${code} ${path}`)).toEqual([
    "PB190 hosts.ledger.monitoring.reportPassword",
    "PB190 hosts.ledger.monitoring.otlp.headers",
  ]);
  expect(JSON.stringify(withPassword)).not.toContain("marker");
  const ledger = { ...HOST, directories: { lib: "/usr/local/lib/pgbackstop" } };
  const elsewhere = renderNixosHost("ledger", { hosts: { ledger } });
  expect(elsewhere.text).toBeNull();
  expect(elsewhere.findings.find(({ severity }) => severity === "error")?.message).toContain(
    "/usr/local/lib/pgbackstop/runtime.cjs is not below /etc",
  );
  const onStock: FileHost = { ...HOST, engine: "pgbackrest", directories: { lib: "/etc/pgbackstop/lib" } };
  const stock = renderNixosHost("ledger", { hosts: { ledger: onStock } });
  expect(stock.text).toBeNull();
  expect(stock.findings.map(({ code }) => code)).toContain("PB010");
});
