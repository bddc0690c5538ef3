/**
 * An update to a newer package changes no byte of any engine's objects, nor of the pods that the plugin patches.
 * Nothing restarts until `followRuntime` asks for it. `test/vectors/kubernetes/v0.1.0.json` holds the objects of 0.1.0.
 *
 * The newer package is simulated: this code with another version number, bundle and Node image. The engine's state is
 * simulated too: it keeps the old ConfigMap's name and data. `test/engine/cnpg.test.ts` shows that on the real engine,
 * with a double of the provider. `PGBACKSTOP_WRITE_VECTORS=1` records again; do that only before a version's release.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { CnpgBackup } from "../../components/databases/cnpgBackup";
import { type ClusterBackupArgs, ClusterEngine } from "../../components/databases/cnpgArgs";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgPlugin } from "../../components/databases/cnpgPlugin";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { type Json, type JsonObject, findOwnParameters } from "../../runtime/cnpg/kubernetes/clusterObject";
import { sidecarPatch, stableJson } from "../../runtime/cnpg/operator/sidecarPatch";
import { projectFolder } from "../../tools/parts/cache";
import { plain, type Value } from "../harness/doubles/providerValues";
import { addObject, type AnyObject } from "../harness/kubernetes/rendered";
import { pod } from "../runtime/cnpg/support";

const FILE = join(projectFolder(), "test", "vectors", "kubernetes", "v0.1.0.json");

interface Package {
  readonly version: string;
  readonly digest: string;
  readonly image: string;
}
const OLD: Package = {
  version: "0.1.0",
  digest: "0".repeat(64),
  image: "docker.io/library/node:24.0.0-slim@sha256:older",
};
const NEW: Package = {
  version: "9.9.9",
  digest: "1".repeat(64),
  image: "docker.io/library/node:26.0.0-slim@sha256:newer",
};
const now = vi.hoisted(() => ({ version: "", digest: "", image: "" }));

vi.mock("../../components/internal/runtimeBundle", () => ({
  runtimeBundleSha256: () => now.digest,
  runtimeBundleBrotli: () => "YnI=",
}));
vi.mock("../../runtime/version", () => ({
  get VERSION() {
    return now.version;
  },
}));
vi.mock("../../components/plan/cluster/images", async (original) => ({
  ...(await original<object>()),
  get NODE_IMAGE() {
    return now.image;
  },
}));

const SILENCE = Object.fromEntries(
  ["PB003", "PB006", "PB007", "PB009", "PB030", "PB042", "PB078", "PB095"].map((code) => [code, "a test"]),
);

function location(name: string, encrypted = true): S3CompatibleRepository["target"] {
  return new S3CompatibleRepository(name, {
    endpoint: "s3.eu-central-003.backblazeb2.com",
    region: "eu-central-003",
    path: `/${name}`,
    bucket: {
      existing: {
        name: "orders-pg",
        existingSecret: { name: "keys", accessKeyIdKey: "id", secretAccessKeyKey: "secret" },
      },
    },
    ...(encrypted ? { cipher: { passphrase: "only for this test" } } : {}),
  }).target;
}

function common(over: Partial<ClusterBackupArgs> = {}): ClusterBackupArgs {
  return {
    namespace: "orders",
    repositories: { repo1: { at: location("one"), keepDays: 14 }, repo2: { at: location("two"), keepFullCount: 4 } },
    schedules: { full: { cron: "0 3 * * 0" } },
    silence: SILENCE,
    ...over,
  };
}

type Follow = Pick<ClusterBackupArgs, "followRuntime">;
/** Programs by the engine or component that they declare. */
const PROGRAMS: Readonly<Record<string, (follow: Follow) => void>> = {
  plugin: (follow) => void new CnpgPlugin("pgbackstop", { ...follow }),
  runtime: (follow) =>
    void new CnpgCluster("orders", {
      ...common(),
      ...follow,
      instances: 3,
      postgresVersion: 18,
      storageGiB: 50,
      spec: { walStorage: { size: "5Gi" } },
    }),
  "runtime with snapshots": (follow) =>
    void new CnpgCluster("orders", {
      ...common(),
      ...follow,
      storageGiB: 50,
      snapshots: { cron: "0 5 * * *", keepDays: 7 },
    }),
  attached: (follow) =>
    void new CnpgBackup("orders", { ...common(), ...follow, clusterName: "orders", operatorVersion: "1.30.0" }),
  pgbackrest: () => void new CnpgCluster("orders", { ...common({ engine: ClusterEngine.Pgbackrest }), storageGiB: 50 }),
  "barman-cloud": () =>
    void new CnpgCluster("orders", {
      ...common({
        engine: ClusterEngine.BarmanCloud,
        repositories: { repo1: { at: location("one", false), keepDays: 30 } },
      }),
      storageGiB: 50,
    }),
  volumeSnapshot: () =>
    void new CnpgCluster("orders", {
      ...common({ engine: ClusterEngine.VolumeSnapshot, repositories: {} }),
      storageGiB: 50,
    }),
};
const FOLLOWING = ["runtime", "runtime with snapshots", "attached"];

type Recorded = Readonly<Record<string, readonly JsonObject[]>>;

/**
 * Objects that `program` declares, except Secrets and the runtime's ConfigMap.
 * @param state the package whose ConfigMap the engine keeps; null for a new stack
 */
async function declared(by: Package, program: () => void, state: Package | null): Promise<readonly JsonObject[]> {
  Object.assign(now, by);
  const result: (AnyObject & JsonObject)[] = [];
  await pulumi.runtime.setMocks(
    {
      call: () => ({}),
      newResource: ({ id, inputs, name, type }) => {
        // A resource that is only read has an id.
        if (id) return { id, state: inputs as object };
        const isRuntime = /v1:ConfigMap(Patch)?$/.test(type) && name.endsWith("-runtime");
        const object = plain(inputs as Value) as AnyObject & JsonObject;
        const isSecret = /:Secret(Patch)?$/.test(type);
        if (type.startsWith("kubernetes:") && !isRuntime && !isSecret) addObject(result, type, object);
        if (!isRuntime || state === null)
          return { id: name, state: type.endsWith(":SelfSignedCertificate") ? certificate() : (inputs as object) };
        const kept = {
          metadata: { ...object.metadata, name: nameOf(object.metadata.name, state) },
          data: { image: state.image, sha256: state.digest, version: state.version },
        };
        return { id: name, state: { ...(inputs as object), ...kept } };
      },
    },
    "shop",
    "prod",
  );
  program();
  await pulumi.runtime.disconnect();
  return result;
}

/** In an order that the program does not decide. */
function textOf(objects: readonly JsonObject[]): string {
  return objects
    .map((object) => stableJson(object))
    .sort()
    .join("\n");
}

function nameOf(name: string, { digest }: Package): string {
  return name.replace(/-[0-9a-f]{12}$/, `-${digest.slice(0, 12)}`);
}

function certificate(): object {
  return { certificatePem: "cert", privateKeyPem: "key", notAfter: "2036-01-01T00:00:00Z" };
}

/** The plugin's patch for an instance's pod. */
function patchOf(objects: readonly JsonObject[] | undefined): string {
  const cluster = objects?.find(({ kind }) => kind === "Cluster");
  const parameters = cluster === undefined ? null : findOwnParameters(cluster);
  if (cluster === undefined || parameters === null) throw new Error("no cluster with the plugin");
  return stableJson(
    sidecarPatch(cluster, pod(), "postgres", { mode: "instance", source: null, parameters, image: "of the plugin" }),
  );
}

/** The text as the newer package would render it. */
function asNew(text: string): string {
  return text
    .replaceAll(OLD.digest, NEW.digest)
    .replaceAll(OLD.digest.slice(0, 12), NEW.digest.slice(0, 12))
    .replaceAll(OLD.image, NEW.image)
    .replaceAll(
      JSON.stringify(`"package": "${OLD.version}"`).slice(1, -1),
      JSON.stringify(`"package": "${NEW.version}"`).slice(1, -1),
    );
}

describe("updating a stack of 0.1.0", () => {
  let recorded: { readonly objects: Recorded; readonly patch: Json };
  beforeAll(async () => {
    if (process.env["PGBACKSTOP_WRITE_VECTORS"] === "1") {
      const objects: Record<string, readonly JsonObject[]> = {};
      for (const [name, program] of Object.entries(PROGRAMS))
        objects[name] = await declared(OLD, () => program({}), null);
      writeFileSync(
        FILE,
        `${JSON.stringify({ objects, patch: JSON.parse(patchOf(objects["runtime"])) as Json }, null, 1)}\n`,
      );
    }
    recorded = JSON.parse(readFileSync(FILE, "utf8")) as typeof recorded;
  });

  function recordedOf(name: string): readonly JsonObject[] {
    return recorded.objects[name] ?? [];
  }

  test("everything is recorded", () => {
    expect(Object.keys(recorded.objects)).toEqual(Object.keys(PROGRAMS));
    expect(Object.values(recorded.objects).flat().length).toBeGreaterThan(25);
  });

  // claim: docs/kubernetes/runtime.md: no object of a stack of an earlier version changes before `followRuntime`
  // claim: docs/kubernetes/restarts.md: a newer package changes no object and no pod by default, for any engine (the
  //   newer package is simulated, what 0.1.0 made is recorded)
  test.each(Object.keys(PROGRAMS))("a newer package changes no object of %s by default", async (name) => {
    const objects = await declared(NEW, () => PROGRAMS[name]?.({}), OLD);
    expect(textOf(objects)).toBe(textOf(recordedOf(name)));
  });

  // claim: docs/kubernetes/restarts.md: a newer package changes…
  test("a newer plugin makes the same pod of the same Cluster", () => {
    Object.assign(now, NEW);
    expect(patchOf(recorded.objects["runtime"])).toBe(stableJson(recorded.patch));
  });

  test.each(FOLLOWING)("on request, %s gets the newer runtime and nothing else", async (name) => {
    const objects = await declared(NEW, () => PROGRAMS[name]?.({ followRuntime: true }), null);
    const text = textOf(recordedOf(name));
    expect(asNew(text)).not.toBe(text);
    expect(textOf(objects)).toBe(asNew(text));
  });

  test("on request, the plugin serves the newer runtime, and its other objects stay", async () => {
    const objects = await declared(NEW, () => PROGRAMS["plugin"]?.({ followRuntime: true }), null);
    const before = recordedOf("plugin").map(stableJson);
    const changed = objects.filter((object) => !before.includes(stableJson(object)));
    expect(changed.map(({ kind }) => kind)).toEqual(["Deployment"]);
    expect(stableJson(changed[0] ?? {})).toContain(`"${NEW.digest}","","/pgbackstop/bundle"`);
  });

  test("a job whose runtime nothing else uses follows at once, because that restarts nothing", async () => {
    const snapshots = { keepDays: 7 };
    const program = (): void =>
      void new CnpgCluster("orders", {
        ...common({ engine: ClusterEngine.VolumeSnapshot, repositories: {}, snapshots }),
        storageGiB: 50,
      });
    const [older, newer] = [await declared(OLD, program, null), await declared(NEW, program, null)];
    const changed = newer.filter((object, index) => JSON.stringify(object) !== JSON.stringify(older[index]));
    expect(changed.map(({ kind }) => kind)).toEqual(["CronJob"]);
    expect(JSON.stringify(newer)).toBe(asNew(JSON.stringify(older)));
  });

  test("on request, the pod gets another bundle and another image, and nothing else", async () => {
    const objects = await declared(NEW, () => PROGRAMS["runtime"]?.({ followRuntime: true }), null);
    expect(patchOf(objects)).toBe(asNew(stableJson(recorded.patch)));
    expect(patchOf(objects)).not.toBe(stableJson(recorded.patch));
  });
});
