/** The test hosts behind SSH have everything that other tests need from them, in both Debian suites. */
import { NIGHTLY } from "../../tools/parts/nightly";
import { readdirSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { controlGroupRoots, type HostParts } from "../../tools/parts/debian/debianHost";
import { waitFor } from "../../tools/parts/process";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { type HostNetwork, startHostNetwork } from "../harness/hosts/network";
import { hostParts } from "../harness/hosts/parts";
import { runOverSsh } from "../harness/hosts/ssh";

const SUITES = ["bookworm", "trixie"] as const;
const POSTGRES_MAJOR = { bookworm: "15", trixie: "17" } as const;

describe("Debian hosts", async () => {
  const parts = await hostParts("hosts behind SSH", [...SUITES, "trixie-bare"]);
  if (parts === null) return;
  let network: HostNetwork;
  const hosts = new Map<string, DebianHost>();
  const hostOf = (suite: string): DebianHost => {
    const host = hosts.get(suite);
    if (host === undefined) throw new Error(`${suite} has not booted`);
    return host;
  };
  beforeAll(async () => {
    network = await startHostNetwork("boot");
    for (const suite of SUITES) hosts.set(suite, await startDebianHost(parts, { suite, name: `db-${suite}`, network }));
  });
  afterAll(async () => {
    for (const host of hosts.values()) await host.stop();
    await network?.stop();
  });

  describe.each(SUITES)("of %s", (suite) => {
    test("is that Debian, with no failed unit", async () => {
      const host = hostOf(suite);
      expect(await host.runOk(["sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME; cat /etc/hostname"])).toBe(
        `${suite}\ndb-${suite}\n`,
      );
      expect(await host.runOk(["systemctl", "--failed", "--no-legend"])).toBe("");
      expect((await host.runOk(["ps", "-o", "comm=", "-p", "1"])).trim()).toBe("systemd");
    });

    test("accepts its accounts over SSH, with the host keys that were known in advance", async () => {
      const host = hostOf(suite);
      expect(await runOverSsh(host, "root", "id -u")).toMatchObject({ exitCode: 0, stdout: "0\n" });
      expect(await runOverSsh(host, "deploy", "id -un && sudo -n id -un")).toMatchObject({
        exitCode: 0,
        stdout: "deploy\nroot\n",
      });
      expect(await runOverSsh(host, "nosudo", "id -un && sudo -n id -un")).toMatchObject({
        exitCode: 1,
        stdout: "nosudo\n",
      });
      await expect(runOverSsh({ ...host, hostKeys: [] }, "root", "true")).rejects.toThrow("Host denied");
      await expect(
        runOverSsh({ ...host, keys: { ...host.keys, root: host.keys.deploy } }, "root", "true"),
      ).rejects.toThrow("authentication");
    });

    test("has a PostgreSQL that answers, and its own cluster", async () => {
      const sql =
        "SELECT current_setting('server_version_num')::int / 10000, system_identifier FROM pg_control_system()";
      const [major, systemId] = (
        await hostOf(suite).runOk(["runuser", "-u", "postgres", "--", "psql", "-AtF,", "-c", sql])
      )
        .trim()
        .split(",");
      expect(major).toBe(POSTGRES_MAJOR[suite]);
      const onDisk = await hostOf(suite).runOk([
        "runuser",
        "-u",
        "postgres",
        "--",
        "sh",
        "-c",
        "cd /; pg_lsclusters -h",
      ]);
      expect(onDisk).toMatch(new RegExp(`^${major} +main +5432 +online`));
      expect(systemId).toMatch(/^\d{19}$/);
    });

    test("fires a timer", async () => {
      const host = hostOf(suite);
      await putFile(host, "/etc/systemd/system/tick.service", "[Service]\nType=oneshot\nExecStart=touch /run/ticked\n");
      await putFile(
        host,
        "/etc/systemd/system/tick.timer",
        "[Timer]\nOnCalendar=*-*-* *:*:0/2 Europe/Berlin\nAccuracySec=100ms\n",
      );
      await host.runOk(["systemctl", "daemon-reload"]);
      await host.runOk(["systemctl", "start", "tick.timer"]);
      await waitFor("the timer", 60_000, async () =>
        (await host.run(["test", "-e", "/run/ticked"])).exitCode === 0 ? true : null,
      );
      await host.runOk(["systemctl", "stop", "tick.timer"]);
    });

    test("runs units with the given exit code, account and credential", async () => {
      const host = hostOf(suite);
      const unit = ["systemd-run", "--wait", "--pipe", "--quiet"];
      const ended = await host.run([...unit, "-p", "User=nosudo", "sh", "-c", "id -un; exit 7"]);
      expect(ended).toMatchObject({ exitCode: 7, stdout: "nosudo\n" });
      await putFile(host, "/etc/credential", "to be kept");
      await host.runOk(["chmod", "600", "/etc/credential"]);
      const credential = [
        ...unit,
        "-p",
        "User=nosudo",
        "-p",
        "LoadCredential=key:/etc/credential",
        "sh",
        "-c",
        'cat "$CREDENTIALS_DIRECTORY/key"',
      ];
      expect(await host.runOk(credential)).toBe("to be kept");
      expect((await host.run(["runuser", "-u", "nosudo", "--", "cat", "/etc/credential"])).exitCode).toBe(1);
    });

    test("has the tests' Node", async () => {
      expect((await hostOf(suite).runOk(["node", "--version"])).trim()).toBe(process.version);
    });

    test("loses its network and gets it back, while the other host keeps its own", async () => {
      const [host, other] = [hostOf(suite), hostOf(suite === "trixie" ? "bookworm" : "trixie")];
      await host.cutNetwork();
      await expect(runOverSsh(host, "root", "true", 2000)).rejects.toThrow();
      expect((await host.run(reachSsh(other))).exitCode).not.toBe(0);
      expect(await runOverSsh(other, "root", "true")).toMatchObject({ exitCode: 0 });
      await host.restoreNetwork();
      await waitFor("the network", 60_000, async () =>
        (await host.run(reachSsh(other))).exitCode === 0 ? true : null,
      );
      expect(await runOverSsh(host, "root", "true")).toMatchObject({ exitCode: 0 });
    });

    test.runIf(NIGHTLY || suite === "trixie")("keeps its disk over a reboot and a power-off", async () => {
      const host = hostOf(suite);
      await putFile(host, "/var/lib/kept", "kept");
      const boots = [await bootOf(host)];
      await host.reboot();
      boots.push(await bootOf(host));
      expect(await host.powerOff()).toBe(0);
      await expect(runOverSsh(host, "root", "true", 2000)).rejects.toThrow();
      await host.powerOn();
      boots.push(await bootOf(host));
      expect(new Set(boots).size).toBe(3);
      expect(await runOverSsh(host, "root", "cat /var/lib/kept")).toMatchObject({ exitCode: 0, stdout: "kept" });
    });
  });

  test("are different clusters", async () => {
    const ids = await Promise.all(
      [...hosts.values()].map((host) =>
        host.runOk([
          "runuser",
          "-u",
          "postgres",
          "--",
          "psql",
          "-Atc",
          "SELECT system_identifier FROM pg_control_system()",
        ]),
      ),
    );
    expect(new Set(ids).size).toBe(SUITES.length);
  });

  test("reach a server of the test", async () => {
    const server = await listen();
    try {
      const { port } = server.address() as AddressInfo;
      const address = await network.expose(port);
      const program = `fetch("http://${address}:${port}").then((answer) => answer.text()).then(console.log)`;
      expect(await hostOf("trixie").runOk(["node", "-e", program])).toBe("from outside\n");
    } finally {
      server.close();
    }
  });

  test("are not affected by a neighbour with the same address, which leaves nothing behind", async () => {
    const disturbed = hostOf("bookworm");
    const before = await stateOf(disturbed);
    const groups = groupsOfThisProcess();
    const beside = await startBare(parts);
    expect(beside.address).toBe(disturbed.address);
    expect((await beside.run(["sh", "-c", "command -v postgres psql pg_lsclusters"])).stdout).toBe("");
    expect(await runOverSsh(beside, "deploy", "cat /etc/hostname")).toMatchObject({ stdout: "beside\n" });
    expect(await runOverSsh(disturbed, "deploy", "cat /etc/hostname")).toMatchObject({ stdout: "db-bookworm\n" });
    await beside.stop();
    expect(groupsOfThisProcess()).toEqual(groups);
    expect(await stateOf(disturbed)).toBe(before);
  });
});

function startBare(parts: HostParts): Promise<DebianHost> {
  return startDebianHost(parts, { suite: "trixie-bare", name: "beside" });
}

async function putFile(host: DebianHost, path: string, text: string): Promise<void> {
  await host.runOk(["sh", "-c", 'cat > "$1"', "sh", path], { input: text });
}

/** A command that exits with 0 if the other host's sshd answers. */
function reachSsh(other: DebianHost): readonly string[] {
  return [
    "timeout",
    "2",
    "bash",
    "-c",
    `exec 3<>/dev/tcp/${other.address}/22; read -r line <&3; [[ $line == SSH-2.0* ]]`,
  ];
}

async function bootOf(host: DebianHost): Promise<string> {
  return (await host.runOk(["cat", "/proc/sys/kernel/random/boot_id"])).trim();
}

/** The host's boot, the start of its first process, its failed units, and PostgreSQL's start. */
async function stateOf(host: DebianHost): Promise<string> {
  const sql = "SELECT pg_postmaster_start_time()";
  const postgres = await host.runOk(["runuser", "-u", "postgres", "--", "psql", "-Atc", sql]);
  return [await bootOf(host), await host.runOk(["systemctl", "--failed", "--no-legend"]), postgres].join("\n");
}

function groupsOfThisProcess(): readonly string[] {
  return controlGroupRoots().flatMap((root) =>
    readdirSync(root).filter((name) => name.startsWith(`pgbackstop-host-${process.pid}-`)),
  );
}

async function listen(): Promise<Server> {
  const server = createServer((_, response) => response.end("from outside"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}
