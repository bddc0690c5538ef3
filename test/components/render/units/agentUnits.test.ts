import { expect, test } from "vitest";
import { agentUnits } from "../../../../components/render/units/agentUnits";
import { BUCKET, NAS, plan } from "../../plans";

const text = (ending: string, over: Parameters<typeof plan>[0] = {}): string =>
  agentUnits(plan(over)).find(({ name }) => name.endsWith(ending))?.text ?? "";

test("the agent gets the secrets from systemd, and its socket starts it", () => {
  const units = agentUnits(plan());
  expect(units.map(({ name, enabled, restarted }) => [name, enabled, restarted])).toEqual([
    ["pgbackstop-main-agent.service", false, true],
    ["pgbackstop-main-agent.socket", true, false],
  ]);
  const service = text(".service").split("\n");
  expect(service).toContain(
    "ExecStart=/usr/bin/node /usr/local/lib/pgbackstop/runtime.cjs --config=/etc/pgbackstop/pgbackrest.conf --stanza=main --config-include-path=${CREDENTIALS_DIRECTORY} agent",
  );
  expect(service).toContain("Environment=MALLOC_ARENA_MAX=1");
  expect(service).toContain("LoadCredential=repo2.conf:/etc/pgbackstop/credentials/repo2.conf");
  expect(text(".socket")).toMatchInlineSnapshot(`
    "# Written by pgbackstop: changes made here by hand are undone by the next update.
    [Unit]
    Description=pgbackstop socket of stanza main: PostgreSQL's archive commands
    Before=postgresql.service system-postgresql.slice

    [Socket]
    ListenStream=/run/pgbackstop/main.sock
    SocketUser=postgres
    SocketMode=0600
    RemoveOnStop=yes
    TriggerLimitIntervalSec=0

    [Install]
    WantedBy=sockets.target
    "
  `);
});

test("a shutdown stops Debian's clusters first, and no boot of them waits for the network", () => {
  const order = (over: Parameters<typeof plan>[0] = {}): string | undefined =>
    /^Before=(.*)$/m.exec(text(".service", over))?.[1];
  expect(order()).toBe("postgresql.service system-postgresql.slice");
  expect(order({ streaming: { intervalSeconds: 5 } })).toBe("postgresql.service");
  expect(order({ archive: "stream" })).toBe("postgresql.service");
  expect(order({ container: { name: "shop-db" } })).toBeUndefined();
});

test("metrics are served at the plan's address, and written as a file too only on request", () => {
  const listen = { monitoring: { listen: "127.0.0.1:9854" } };
  expect(text(".service", listen)).toMatch(/ agent --metrics-listen=127\.0\.0\.1:9854\n/);
  const tasks = (over: Parameters<typeof plan>[0]): string[] => plan(over).maintenance.map(({ name }) => name);
  expect(tasks(listen)).toEqual(["expire", "verify", "heal"]);
  expect(tasks({ ...listen, maintenance: { metrics: {} } })).toEqual(["expire", "verify", "heal", "metrics"]);
});

test("a boot starts an agent that streams, with its socket: a commit that waits for it would never fill a segment", () => {
  const streaming = { streaming: { intervalSeconds: 5 } };
  expect(agentUnits(plan(streaming)).map(({ enabled }) => enabled)).toEqual([true, true]);
  expect(text(".service", streaming)).toContain("Wants=network-online.target pgbackstop-main-agent.socket\n");
  expect(text(".service", streaming)).toMatch(/\n\n\[Install\]\nWantedBy=multi-user\.target\n$/);
  expect(text(".service")).not.toContain("[Install]");
});

test("a boot starts an agent that reads a slot: no request of PostgreSQL ever would", () => {
  expect(agentUnits(plan({ archive: "stream" })).map(({ enabled }) => enabled)).toEqual([true, true]);
});

// claim: docs/hosts/containers.md: units run as root with two capabilities; Podman's have a third, and write its paths
test("an agent of a container runs as root, and may read its files and enter its processes", () => {
  const container = { name: "shop-db" };
  const service = text(".service", { container }).split("\n");
  expect(service).toContain("User=root");
  expect(service).toContain("After=network-online.target remote-fs.target docker.service");
  expect(service).toContain("CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE");
  expect(text(".service", { container: { ...container, engine: "podman" } })).toMatch(
    /CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE CAP_SYS_ADMIN\n/,
  );
  expect(text(".service", { container: { ...container, engine: "podman" } })).toContain(
    "SystemCallFilter=@system-service @mount seccomp\n",
  );
  expect(text(".service")).toContain("CapabilityBoundingSet=\n");
});

test("neither ever gives up: a failed socket would refuse every segment", () => {
  expect(text(".service")).toContain("StartLimitIntervalSec=0\n");
  expect(text(".service")).toContain("Restart=always\n");
  expect(text(".socket")).toContain("TriggerLimitIntervalSec=0\n");
});

test("a repository without secrets passes none, and without any there is no directory of them", () => {
  const service = text(".service", { repositories: { repo1: NAS } });
  expect(service).not.toContain("LoadCredential");
  expect(service).not.toContain("CREDENTIALS_DIRECTORY");
});

test("existing secrets on the host are passed from their paths", () => {
  const secretFiles = {
    options: "/run/secrets/r2.conf",
    accessKeyId: "/run/secrets/id",
    secretAccessKey: "/run/secrets/key",
  };
  const service = text(".service", {
    repositories: { repo1: { ...BUCKET, at: { ...BUCKET.at, encrypted: false }, secretFiles } },
  });
  expect(service.split("\n").filter((line) => line.startsWith("LoadCredential="))).toEqual([
    "LoadCredential=repo1-existing.conf:/run/secrets/r2.conf",
    "LoadCredential=repo1-s3-key:/run/secrets/id",
    "LoadCredential=repo1-s3-key-secret:/run/secrets/key",
  ]);
});

test("there are none if PostgreSQL's account reads the secrets itself", () => {
  expect(agentUnits(plan({ agent: false }))).toEqual([]);
});
