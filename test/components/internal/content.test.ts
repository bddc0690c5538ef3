/** The resources of a ConfigMap and of a Secret. `test/kubernetes/content.test.ts` shows them on the real provider. */
import * as pulumi from "@pulumi/pulumi";
import { beforeEach, expect, test } from "vitest";
import { declareContent } from "../../../components/internal/content";
import { type Declared, startProgram } from "../declaredResources";

let registered: Declared[];
beforeEach(async () => {
  registered = await startProgram();
});

const metadata = { name: "orders-pgbackstop", namespace: "orders", labels: { app: "orders" } };

test("the content of a ConfigMap is a patch, which takes over the fields of an imported object", async () => {
  declareContent("config", { apiVersion: "v1", kind: "ConfigMap", metadata, data: { file: "text" } }, {});
  await pulumi.runtime.disconnect();
  const [map, patch] = registered;
  expect([map?.type, patch?.type]).toEqual(["kubernetes:core/v1:ConfigMap", "kubernetes:core/v1:ConfigMapPatch"]);
  expect([map?.name, patch?.name]).toEqual(["config", "config-content"]);
  expect(map?.inputs["metadata"]).toEqual(metadata);
  expect(map?.inputs["data"]).toBeUndefined();
  expect(patch?.inputs).toMatchObject({
    metadata: {
      name: "orders-pgbackstop",
      namespace: "orders",
      annotations: { "pulumi.com/patchFieldManager": "pgbackstop", "pulumi.com/patchForce": "true" },
    },
    data: { file: "text" },
  });
});

test("a Secret's texts are bytes in the patch, and a certificate has its required keys at once", async () => {
  const stringData = { "tls.crt": "certificate", "tls.key": pulumi.secret("key") };
  const object = { apiVersion: "v1", kind: "Secret", metadata, type: "kubernetes.io/tls", stringData };
  declareContent("tls", object, {});
  await pulumi.runtime.disconnect();
  const [secret, patch] = registered;
  expect(JSON.stringify(secret?.inputs)).not.toContain("certificate");
  expect(JSON.stringify(secret?.inputs["data"])).toContain('"tls.key":""');
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  expect(JSON.stringify(patch?.inputs["data"])).toContain(`"tls.crt":"${base64("certificate")}"`);
  expect(JSON.stringify(patch?.inputs["data"])).toContain(`"tls.key":"${base64("key")}"`);
  expect(patch?.inputs["stringData"]).toBeUndefined();
});
