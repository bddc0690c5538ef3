import { describe, expect, test } from "vitest";
import { at, type Json, type JsonObject, listAt, textAt } from "../../../../runtime/cnpg/kubernetes/clusterObject";
import { sidecarPatch, type SidecarRequest, stableJson } from "../../../../runtime/cnpg/operator/sidecarPatch";
import { seededRandom } from "../../../harness/context";
import { applyPatch, cluster, job, PARAMETERS, pod } from "../support";

const REQUEST: SidecarRequest = { mode: "instance", parameters: PARAMETERS, source: null, image: "node@sha256:0123" };
const patchOf = (object: JsonObject = pod(), request: SidecarRequest = REQUEST, mainName = "postgres") =>
  sidecarPatch(cluster(), object, mainName, request);
const sidecarIn = (object: JsonObject): Json | undefined =>
  listAt(object, "spec", "initContainers").find((container) => textAt(container, "name") === "plugin-pgbackstop");

/** Lists whose order does not matter. */
const SETS = ["plugins", "volumes", "volumeMounts"];

/** The same object, with keys and the lists of SETS in another order. */
function shuffled(value: Json, next: () => number, key = ""): Json {
  if (Array.isArray(value)) {
    const inner = value.map((each: Json) => shuffled(each, next));
    return SETS.includes(key) ? inOtherOrder(inner, next) : inner;
  }
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, inner]): [string, Json] => [name, shuffled(inner, next, name)]);
  return Object.fromEntries(inOtherOrder(entries, next));
}

function inOtherOrder<T>(list: readonly T[], next: () => number): T[] {
  return list
    .map((value) => ({ value, order: next() }))
    .sort((a, b) => a.order - b.order)
    .map(({ value }) => value);
}

describe("the patch of a pod", () => {
  test("adds the sidecar after the bootstrap container, its volumes, and the sockets to PostgreSQL", () => {
    const patched = applyPatch(pod(), patchOf());
    expect(listAt(patched, "spec", "initContainers").map((container) => textAt(container, "name"))).toEqual([
      "bootstrap-controller",
      "plugin-pgbackstop",
    ]);
    expect(listAt(patched, "spec", "volumes").map((volume) => textAt(volume, "name"))).toEqual([
      "pgdata",
      "scratch-data",
      "shm",
      "plugins",
      "pgbackstop-run",
      "pgbackstop-bundle",
      "pgbackstop-config",
      "pgbackstop-repo1",
      "pgbackstop-repo2",
      "pgbackstop-claim-0",
    ]);
    const [exporter, postgres] = listAt(patched, "spec", "containers");
    expect(listAt(postgres, "volumeMounts").at(-1)).toEqual({ name: "plugins", mountPath: "/plugins" });
    expect(exporter).toEqual({ name: "exporter", image: "e" });
  });

  test("gives the sidecar its inputs, and no other rights", () => {
    const sidecar = sidecarIn(applyPatch(pod(), patchOf()));
    expect(sidecar).toMatchObject({
      image: "node@sha256:0123",
      imagePullPolicy: "IfNotPresent",
      restartPolicy: "Always",
      startupProbe: { exec: { command: ["test", "-S", "/plugins/pgbackstop"] } },
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        runAsNonRoot: true,
        capabilities: { drop: ["ALL"] },
      },
      resources: {},
    });
    const args = listAt(sidecar, "args");
    expect(args).toContain("--stanza=orders");
    expect(args).toContain("--pg1-path=/var/lib/postgresql/data/pgdata");
    expect(args).toContain("--pg1-socket-path=/controller/run");
    expect(args).toContain("--spool-path=/var/lib/postgresql/data/pgbackstop");
    expect(args.at(-1)).toBe("cnpg-instance");
    expect(listAt(sidecar, "volumeMounts").map((mount) => textAt(mount, "mountPath"))).toEqual([
      "/controller",
      "/dev/shm",
      "/run",
      "/var/lib/postgresql/data",
      "/plugins",
      "/pgbackstop/run",
      "/pgbackstop/bundle",
      "/pgbackstop/config",
      "/pgbackstop/secrets/repo1",
      "/pgbackstop/secrets/repo2",
      "/pgbackstop/claims/vault",
    ]);
    // Neither probe starts Node.
    const probes = [at(sidecar, "startupProbe"), at(sidecar, "livenessProbe")].flatMap((probe) =>
      listAt(probe, "exec", "command"),
    );
    expect(JSON.stringify(probes)).not.toContain("node");
  });

  // claim: docs/kubernetes/plugin.md: the sidecar's patch is empty the second time and has the same bytes for shuffled
  //   input
  test("is empty for a complete pod, even after the operator's types converted it", () => {
    expect(patchOf(applyPatch(pod(), patchOf()))).toEqual([]);
  });

  test("replaces a different sidecar in place", () => {
    const newer = patchOf(applyPatch(pod(), patchOf()), { ...REQUEST, image: "node@sha256:4567" });
    expect(newer.map(({ op, path }) => `${op} ${path}`)).toEqual(["replace /spec/initContainers/1"]);
  });

  // claim: docs/kubernetes/plugin.md: the sidecar's patch is…
  test("has the same bytes over 1,000 renders of shuffled input", () => {
    const random = seededRandom(7);
    const next = (): number => random.bytes(1)[0] ?? 0;
    const texts = new Set<string>();
    for (let turn = 0; turn < 1000; turn++) {
      const input = shuffled(cluster(), next) as JsonObject;
      const parameters = shuffled(PARAMETERS, next) as Record<string, string>;
      texts.add(
        stableJson(sidecarPatch(input, shuffled(pod(), next) as JsonObject, "postgres", { ...REQUEST, parameters })),
      );
    }
    expect(texts.size).toBe(1);
  });

  test("keeps another plugin's directory of sockets", () => {
    const withOther = applyPatch(pod(), [
      { op: "add", path: "/spec/volumes/-", value: { name: "plugins", emptyDir: { sizeLimit: "1Mi" } } },
      { op: "add", path: "/spec/containers/1/volumeMounts/-", value: { name: "plugins", mountPath: "/plugins" } },
    ]);
    const paths = patchOf(withOther).map(({ path, value }) => `${path} ${textAt(value, "name")}`);
    expect(paths.some((path) => path.endsWith(" plugins"))).toBe(false);
    expect(patchOf(applyPatch(withOther, patchOf(withOther)))).toEqual([]);
  });

  test("puts durable files on the WAL volume if there is one", () => {
    const withWal = applyPatch(pod(), [
      {
        op: "add",
        path: "/spec/containers/1/volumeMounts/-",
        value: { name: "pg-wal", mountPath: "/var/lib/postgresql/wal" },
      },
    ]);
    expect(listAt(sidecarIn(applyPatch(withWal, patchOf(withWal))), "args")).toContain(
      "--spool-path=/var/lib/postgresql/wal/pgbackstop",
    );
  });

  test("creates missing lists", () => {
    const { initContainers: _, ...spec } = at(pod(), "spec") as JsonObject;
    const [operation] = patchOf({ ...pod(), spec }).filter(({ path }) => path.startsWith("/spec/initContainers"));
    expect(operation).toMatchObject({
      op: "add",
      path: "/spec/initContainers",
      value: [{ name: "plugin-pgbackstop" }],
    });
  });

  test("adds only the source of a replica cluster", () => {
    const source = {
      ...PARAMETERS,
      configMap: "orders-source",
      stanza: "origin",
      claims: "vault,other",
      secretConf: "more",
    };
    const without = sidecarIn(applyPatch(pod(), patchOf()));
    const sidecar = sidecarIn(applyPatch(pod(), patchOf(pod(), { ...REQUEST, source })));
    const more = (...path: string[]): Json[] =>
      listAt(sidecar, ...path).filter(
        (each) => !listAt(without, ...path).some((other) => stableJson(other) === stableJson(each)),
      );
    expect(more("volumeMounts").map((mount) => textAt(mount, "mountPath"))).toEqual([
      "/pgbackstop/source/config",
      "/pgbackstop/source/secrets/repo1",
      "/pgbackstop/source/secrets/repo2",
      "/pgbackstop/source/conf.d",
      "/pgbackstop/claims/other",
      "/pgbackstop/claims/vault",
    ]);
    expect(more("args")).toEqual([
      "--plugin-source-stanza=origin",
      "--plugin-watch=/pgbackstop/source/config",
      "--plugin-watch=/pgbackstop/source/conf.d",
      "--plugin-watch=/pgbackstop/source/secrets",
    ]);
    const names = listAt(sidecar, "volumeMounts").map((mount) => textAt(mount, "mountPath"));
    expect(new Set(names).size).toBe(names.length);
  });

  test("passes resources on unchanged", () => {
    const parameters = { ...PARAMETERS, memoryLimit: "1024Mi", memoryRequest: "128Mi", cpuRequest: "50m" };
    const sidecar = sidecarIn(applyPatch(pod(), patchOf(pod(), { ...REQUEST, parameters })));
    expect(at(sidecar, "resources")).toEqual({
      requests: { cpu: "50m", memory: "128Mi" },
      limits: { memory: "1024Mi" },
    });
  });

  // claim: docs/kubernetes/plugin.md: unknown parameters are refused
  test("refuses invalid parameters", () => {
    const refused = (parameters: Record<string, string>): string => {
      try {
        patchOf(pod(), { ...REQUEST, parameters });
        return "";
      } catch (error) {
        return String(error);
      }
    };
    expect(refused({ ...PARAMETERS, confgMap: "x" })).toContain("plugin parameter 'confgMap' is unknown");
    expect(refused({ bundle: "b" })).toContain("plugin parameter 'configMap' is required");
    expect(refused({ ...PARAMETERS, repo1Secret: "No Name" })).toContain(
      "'No Name' is not allowed for plugin parameter 'repo1Secret'",
    );
    expect(refused({ ...PARAMETERS, backupType: "weekly" })).toContain("allowed: auto, full, diff, incr");
    expect(refused({ ...PARAMETERS, repositoryTargetTime: "then" })).toContain("a time as 2026-11-20T06:40:59Z");
    expect(refused({ ...PARAMETERS, repositoryTargetTime: "2026-11-20T06:40:59Z" })).toContain("'repo' is required");
    expect(refused({ ...PARAMETERS, stanza: "a/b" })).toContain("'a/b' is not allowed for plugin parameter 'stanza'");
    expect(() => patchOf(pod(), { ...REQUEST, image: undefined })).toThrow("plugin parameter 'image' is required");
    expect(() => patchOf(pod(), REQUEST, "mysql")).toThrow("the pod has no container 'mysql'");
  });
});

test("the patch of a recovery job goes to its pod's template", () => {
  const patch = patchOf(job("full-recovery"), { ...REQUEST, mode: "restore" }, "full-recovery");
  expect(patch.every(({ path }) => path.startsWith("/spec/template/spec/"))).toBe(true);
  const sidecar = patch.find(({ path }) => path.endsWith("/initContainers/-"))?.value;
  expect(listAt(sidecar, "args").at(-1)).toBe("cnpg-restore");
  expect(JSON.stringify(listAt(sidecar, "args"))).not.toContain("--pg1-user");
});

test("a recovery may be limited to one repository, a newest segment and a time of the past, an instance is not", () => {
  const repositoryTargetTime = "2026-11-20T06:40:59Z";
  const parameters = {
    ...PARAMETERS,
    repo: "2",
    newestWal: "0000000100000000000000A1@0/A1000148",
    repositoryTargetTime,
  };
  const argsOf = (mode: SidecarRequest["mode"], object: JsonObject, main: string): readonly Json[] => {
    const patch = patchOf(object, { ...REQUEST, mode, parameters }, main);
    return listAt(patch.find(({ path }) => path.endsWith("/initContainers/-"))?.value, "args");
  };
  const bounds = [
    "--repo=2",
    "--plugin-newest-wal=0000000100000000000000A1@0/A1000148",
    "--repo-target-time=2026-11-20T06:40:59Z",
  ];
  expect(argsOf("restore", job("full-recovery"), "full-recovery")).toEqual(expect.arrayContaining(bounds));
  for (const arg of bounds) expect(argsOf("instance", pod(), "postgres")).not.toContain(arg);
});
