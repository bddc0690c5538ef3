/** Secrets of repositories in the plugin's parameters, and the volume made from them. */
import { describe, expect, test } from "vitest";
import { type Json, type JsonObject, listAt } from "../../../../runtime/cnpg/kubernetes/clusterObject";
import { readParameters } from "../../../../runtime/cnpg/operator/parameters";
import { sidecarPatch, stableJson } from "../../../../runtime/cnpg/operator/sidecarPatch";

const REQUIRED = { configMap: "orders-pgbackstop", bundle: "runtime", image: "node:24" };
const DEFAULTS = { clusterName: "orders", image: undefined };
const POD = {
  kind: "Pod",
  metadata: { name: "orders-1" },
  spec: { containers: [{ name: "postgres", env: [], volumeMounts: [] }], initContainers: [], volumes: [] },
};

test("an image that contains the runtime replaces the ConfigMap and the image of Node", () => {
  const { bundle: _bundle, image: _image, ...others } = REQUIRED;
  const own = { ...others, runtimeImage: "registry.example.net/pgbackstop@sha256:01" };
  expect(readParameters(own, DEFAULTS)).toMatchObject({ bundle: undefined, image: own.runtimeImage });
  const request = { mode: "instance", source: null, image: "node:24", parameters: own } as const;
  const patch = stableJson(sidecarPatch({ metadata: { name: "orders" } }, POD, "postgres", request));
  expect(patch).toContain('"image":"registry.example.net/pgbackstop@sha256:01"');
  expect(patch).not.toContain('"name":"pgbackstop-bundle"');
  expect(() => readParameters({ ...own, bundle: "runtime" }, DEFAULTS)).toThrow("'runtimeImage' and 'bundle' are both");
  expect(() => readParameters({ ...others, image: "node:24" }, DEFAULTS)).toThrow("'bundle' is required");
});

// claim: docs/kubernetes/plugin.md: unknown parameters are refused…
test.each([
  ["confgMap", "did you mean configMap?"],
  ["repo2Secrt", "did you mean repo2Secret?"],
  ["completely", "parameters are stanza, "],
])("the unknown parameter %s is answered by the nearest name, or by all", (name, hint) => {
  const read = (): unknown => readParameters({ ...REQUIRED, [name]: "x" }, DEFAULTS);
  expect(read).toThrow(expect.objectContaining({ hints: [expect.stringContaining(hint)] }));
});

// claim: docs/kubernetes/plugin.md: the password of the report is a key of a Secret, mounted in the sidecar alone
test("the password of the report is a file of the sidecar alone, which it watches", () => {
  const parameters = { ...REQUIRED, reportPassword: "orders-report/password" };
  expect(readParameters(REQUIRED, DEFAULTS).reportPassword).toBeUndefined();
  expect(readParameters(parameters, DEFAULTS).reportPassword).toEqual({ name: "orders-report", key: "password" });
  for (const wrong of ["", "orders-report", "/password", "Orders/password", "a/b/c", "a/b c"])
    expect(() => readParameters({ ...REQUIRED, reportPassword: wrong }, DEFAULTS), wrong).toThrow("secret/key");
  const patchOf = (mode: "instance" | "restore" | "follow", given: Readonly<Record<string, string>>): string =>
    stableJson(
      sidecarPatch({ metadata: { name: "orders" } }, POD, "postgres", {
        mode,
        source: null,
        image: "n",
        parameters: given,
      }),
    );
  const patch = JSON.parse(patchOf("instance", parameters)) as { path: string; value: JsonObject }[];
  const volume = { secretName: "orders-report", items: [{ key: "password", path: "password" }], optional: true };
  expect(patch.find(({ value }) => value["name"] === "pgbackstop-report")?.value["secret"]).toEqual(volume);
  const sidecar = patch.find(({ path }) => path.startsWith("/spec/initContainers"))?.value;
  expect(listAt(sidecar, "args")).toEqual(
    expect.arrayContaining(["--plugin-watch=/pgbackstop/report", "--report-password-file=/pgbackstop/report/password"]),
  );
  const mount = { name: "pgbackstop-report", mountPath: "/pgbackstop/report", readOnly: true };
  expect(listAt(sidecar, "volumeMounts")).toContainEqual(mount);
  expect(JSON.stringify(patch.filter(({ value }) => value !== sidecar))).not.toContain("/pgbackstop/report");
  for (const each of [patchOf("restore", parameters), patchOf("follow", parameters), patchOf("instance", REQUIRED)])
    expect(each).not.toMatch(/report/);
});

describe("a runtime by its digest", () => {
  const { bundle: _bundle, ...others } = REQUIRED;
  const runtime = "ab".repeat(32);
  const runtimeUrl = "http://pgbackstop.cnpg-system.svc:9091";
  const sidecarOf = (parameters: Readonly<Record<string, string>>, pod: JsonObject = POD): Json | undefined => {
    const request = { mode: "instance", source: null, image: undefined, parameters } as const;
    const patched = sidecarPatch({ metadata: { name: "orders" } }, pod, "postgres", request);
    return patched.find(({ path }) => path.startsWith("/spec/initContainers"))?.value;
  };

  test("comes from the plugin: no ConfigMap is mounted, and a copy stays on the volume of the data or of WAL", () => {
    const given = { ...others, runtime, runtimeUrl };
    expect(readParameters(given, DEFAULTS)).toMatchObject({
      bundle: undefined,
      image: "node:24",
      runtime: { sha256: runtime, url: runtimeUrl },
    });
    const keptAt = (pod: JsonObject): readonly Json[] => listAt(sidecarOf(given, pod), "command").slice(-3);
    expect(keptAt(POD)).toEqual([runtime, runtimeUrl, "/var/lib/postgresql/data/pgbackstop"]);
    const main = { name: "postgres", env: [], volumeMounts: [{ name: "wal", mountPath: "/var/lib/postgresql/wal" }] };
    const withWal = { ...POD, spec: { ...POD.spec, containers: [main] } };
    expect(keptAt(withWal)).toEqual([runtime, runtimeUrl, "/var/lib/postgresql/wal/pgbackstop"]);
    expect(stableJson(sidecarOf(given) ?? null)).not.toContain("/pgbackstop/bundle");
  });

  test("comes from a ConfigMap of that form, without a request", () => {
    const sidecar = sidecarOf({ ...others, runtime, bundle: "orders-runtime-ab" });
    expect(listAt(sidecar, "command").slice(-3)).toEqual([runtime, "", "/pgbackstop/bundle"]);
    expect(stableJson(sidecar ?? null)).toContain('"mountPath":"/pgbackstop/bundle"');
  });

  test("is refused in any other form", () => {
    const refused = (more: Readonly<Record<string, string>>) => () => readParameters({ ...others, ...more }, DEFAULTS);
    expect(refused({ runtime })).toThrow("'bundle' is required");
    expect(refused({ runtimeUrl })).toThrow("'runtime' is required");
    expect(refused({ runtime: "AB".repeat(32), runtimeUrl })).toThrow("64 hexadecimal digits");
    expect(refused({ runtime, runtimeUrl, bundle: "b" })).toThrow("'runtimeUrl' and 'bundle' are both given");
    for (const url of ["https://a.svc:9091", "http://a.svc", "http://a.svc:9091/x", "http://a b:1", "http://$(X):1"])
      expect(refused({ runtime, runtimeUrl: url }), url).toThrow("http://HOST:PORT");
    expect(() => readParameters({ configMap: "c", runtimeImage: "i", runtime }, DEFAULTS)).toThrow(
      "'runtimeImage' and 'runtime' are both given",
    );
  });
});

test("keys of several Secrets become files of one directory, in any order of the parameter", () => {
  const keys = [
    "ENCRYPTION_PASS=orders/pass",
    "ACCESS_KEY_ID=minio/AWS_ACCESS_KEY_ID",
    "ACCESS_SECRET_KEY=minio/AWS_SECRET_ACCESS_KEY",
  ];
  const patch = (order: readonly string[]): string =>
    stableJson(
      sidecarPatch({ metadata: { name: "orders" } }, POD, "postgres", {
        mode: "instance",
        source: null,
        image: undefined,
        parameters: { ...REQUIRED, repo1SecretKeys: order.join(","), repo2Secret: "r2" },
      }),
    );
  expect(patch(keys)).toBe(patch(keys.toReversed()));
  const volumes = (JSON.parse(patch(keys)) as { path: string; value: { name?: string } }[])
    .filter(({ path }) => path.startsWith("/spec/volumes"))
    .map(({ value }) => value);
  expect(volumes.find(({ name }) => name === "pgbackstop-repo1")).toEqual({
    name: "pgbackstop-repo1",
    projected: {
      sources: [
        {
          secret: {
            name: "minio",
            items: [
              { key: "AWS_ACCESS_KEY_ID", path: "ACCESS_KEY_ID" },
              { key: "AWS_SECRET_ACCESS_KEY", path: "ACCESS_SECRET_KEY" },
            ],
            optional: true,
          },
        },
        { secret: { name: "orders", items: [{ key: "pass", path: "ENCRYPTION_PASS" }], optional: true } },
      ],
    },
  });
  expect(volumes.find(({ name }) => name === "pgbackstop-repo2")).toEqual({
    name: "pgbackstop-repo2",
    secret: { secretName: "r2", optional: true },
  });
});

// claim: docs/kubernetes/keys.md: a missing Secret is…
test("a missing Secret makes a recovery wait, and does not stop an instance from starting", () => {
  const volumeOf = (mode: "instance" | "restore"): unknown =>
    sidecarPatch({ metadata: { name: "orders" } }, POD, "postgres", {
      mode,
      source: null,
      image: undefined,
      parameters: { ...REQUIRED, repo2Secret: "r2" },
    })
      .map(({ value }) => value as { name?: string; secret?: object })
      .find(({ name }) => name === "pgbackstop-repo2")?.secret;
  expect(volumeOf("instance")).toEqual({ secretName: "r2", optional: true });
  expect(volumeOf("restore")).toEqual({ secretName: "r2" });
});

test.each([
  ["an invalid key of a Secret", { repo1SecretKeys: "ACCESS_KEY_ID=minio" }, "optionInvalidValue"],
  ["a path outside the directory", { repo1SecretKeys: "../x=minio/key" }, "optionInvalidValue"],
  ["the directory above", { repo1SecretKeys: "..=minio/key" }, "optionInvalidValue"],
  ["one file twice", { repo1SecretKeys: "A=minio/a,A=minio/b" }, "optionInvalidValue"],
  ["both forms", { repo1Secret: "minio", repo1SecretKeys: "A=minio/a" }, "optionInvalid"],
])("%s is refused", (_what, parameters, kind) => {
  expect(() => readParameters({ ...REQUIRED, ...parameters }, DEFAULTS)).toThrow(expect.objectContaining({ kind }));
});
