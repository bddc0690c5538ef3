/** Which paths a unit holds by a mount of its own, of all units that stay while others rename, mount or replace. */
import { expect, test } from "vitest";
import type { HostSettings } from "../../../../components/plan/model/databaseSettings";
import type { HostPlan } from "../../../../components/plan/model/plan";
import { hostParts } from "../../../../components/render/host/hostParts";
import { renderNixos } from "../../../../components/render/host/nixos";
import { BUCKET, NAS, plan, R2 } from "../../plans";

const SFTP = {
  at: {
    name: "vault",
    path: "/repository",
    encrypted: true,
    sftp: { host: "vault.example", user: "orders", hostFingerprint: `SHA256:${"A".repeat(43)}` },
  },
  keepDays: 30,
};
const REMOTE = { repo1: SFTP, repo2: BUCKET };
const MIXED = { repo1: NAS, repo2: BUCKET };
const DIRECTORIES = { repo1: NAS, repo2: { ...NAS, at: { ...NAS.at, name: "disk", path: "/srv/disk" } } };
const STREAMING = { intervalSeconds: 5, synchronous: "any", degradeAfterSeconds: 30 } as const;

const PLANS: Readonly<Record<string, Partial<HostSettings>>> = {
  "remote repositories": { repositories: REMOTE },
  "two buckets": { repositories: { repo1: BUCKET, repo2: R2 } },
  "mixed repositories": { repositories: MIXED },
  "repositories in directories": { repositories: DIRECTORIES },
  streaming: { repositories: REMOTE, streaming: STREAMING },
  "streaming into directories": { repositories: DIRECTORIES, streaming: STREAMING },
  "a slot": { repositories: REMOTE, archive: "stream" },
  Docker: { repositories: REMOTE, container: { name: "shop-db" } },
  Podman: { repositories: REMOTE, container: { name: "shop-db", engine: "podman" } },
  "data below /home": { repositories: REMOTE, dataDirectory: "/home/pg/data" },
  "data below /usr": { repositories: REMOTE, dataDirectory: "/usr/local/pgsql/data" },
  "data below /usr and a directory": { repositories: MIXED, dataDirectory: "/usr/local/pgsql/data" },
  "directories of its own": {
    repositories: MIXED,
    directories: { spool: "/data/spool", log: "/data/log", lock: "/run/lock/pgbackrest" },
  },
};

/** Directories that nobody replaces, by the directive that makes mounts of them. */
const FIXED: Readonly<Record<string, { readonly paths: readonly string[]; readonly isHidden: boolean }>> = {
  "ProtectSystem=full": { paths: ["/boot", "/efi", "/etc", "/usr"], isHidden: false },
  "ProtectHome=yes": { paths: ["/home", "/root", "/run/user"], isHidden: true },
  "ProtectHome=read-only": { paths: ["/home", "/root", "/run/user"], isHidden: false },
};
/** Directives of systemd.exec(5) that make no mount, or only below /dev, /proc, /sys and /run/credentials. */
const HARMLESS =
  /^(CapabilityBoundingSet|Environment|EnvironmentFile|Exec[A-Z]\w+|LoadCredential|LockPersonality|NoNewPrivileges|PrivateDevices|PrivateMounts|Protect(Clock|ControlGroups|Hostname|Kernel\w+|Proc)|Restart\w*|Restrict\w+|SystemCall\w+|Timeout\w+|Type|UMask|User)=/;

interface Service {
  readonly name: string;
  readonly lines: readonly string[];
}

function servicesOf(text: string): string[] {
  return (
    /^\[Service\]\n([^[]*)/m
      .exec(text)?.[1]
      ?.split("\n")
      .filter((line) => /^[A-Z]\w+=/.test(line)) ?? []
  );
}

function staying(host: HostPlan): Service[] {
  const { units } = hostParts(host);
  return units
    .map(({ name, text }) => ({ name, lines: servicesOf(text) }))
    .filter(({ lines }) => lines.length > 0 && !lines.includes("Type=oneshot"));
}

/** Paths that the unit reads and that others rename, mount or replace. */
function replaced(host: HostPlan): string[] {
  const { lock, log, spool } = host.directories;
  const repositories = host.repositories.filter(({ kind }) => kind === "posix").map(({ path }) => path);
  const data = host.container === undefined ? [host.dataDirectory] : [];
  return [...data, lock, log, spool, ...repositories];
}

const isAt = (path: string, directory: string): boolean => `${path}/`.startsWith(`${directory}/`);

// claim: docs/agent.md: a unit that stays holds no directory that others rename, mount or replace
test.each(Object.entries(PLANS))("%s: no unit that stays holds a path that others replace", (title, over) => {
  const host = plan(over);
  const services = staying(host);
  const names = [
    "pgbackstop-main-agent.service",
    ...(title.startsWith("streaming") ? ["pgbackstop-main-degrade.service"] : []),
  ];
  expect(services.map(({ name }) => name).sort()).toEqual(names);
  for (const { lines, name } of services) {
    const mounting = lines.filter((line) => !HARMLESS.test(line));
    expect([name, mounting.filter((line) => FIXED[line] === undefined)]).toEqual([name, []]);
    // Neither held nor read-only nor hidden.
    for (const directory of mounting.flatMap((line) => FIXED[line]?.paths ?? []))
      expect([
        name,
        directory,
        replaced(host).filter((path) => isAt(path, directory) || isAt(directory, path)),
      ]).toEqual([name, directory, []]);
  }
});

test("where none of its paths is there, a unit that stays cannot write to the system's directories", () => {
  for (const [title, over] of Object.entries(PLANS)) {
    const isSystems = over.dataDirectory?.startsWith("/usr/") === true;
    for (const { lines } of staying(plan(over)))
      expect([title, lines.includes("ProtectSystem=full")]).toEqual([title, !isSystems]);
  }
});

test("a NixOS module has the same units", () => {
  const host = plan({
    repositories: REMOTE,
    directories: { config: "/etc/pgbackstop", lib: "/etc/pgbackstop/lib", bin: "/etc/pgbackstop/bin" },
  });
  const [agent] = staying(host);
  const module = renderNixos(host, { secretsDirectory: "/run/secrets/pgbackstop", installNode: false });
  for (const line of agent?.lines.filter((each) => /^(Protect|Private|Restrict)/.test(each)) ?? [])
    expect(module).toContain(line);
  expect(agent?.lines).toContain("ProtectSystem=full");
});
