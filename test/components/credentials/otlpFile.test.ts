import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { environmentText, otlpText } from "../../../components/credentials/otlpFile";
import { parseEnvFile } from "../../../runtime/config/secretFiles";
import { otlpTarget } from "../../../runtime/metrics/otlpTarget";
import * as fc from "../../harness/properties";

test("the runtime reads what the file says", () => {
  const name = fc.stringMatching(/^[a-z][a-z.-]{0,9}$/);
  const value = fc.stringMatching(/^[!-~]{1,20}$/);
  fc.assert(
    fc.property(fc.dictionary(name, value), fc.dictionary(name, value), value, (headers, attributes, path) => {
      const endpoint = `https://otlp.example/${encodeURI(path)}`;
      const text = environmentText("PostgresHost ledger", { endpoint, headers, attributes, caFile: `/etc/${path}` });
      const read = otlpTarget(parseEnvFile(text), {});
      expect(read).toMatchObject({ headers, attributes, caFile: `/etc/${path}` });
    }),
  );
});

test("a receiver without an address, or with another one's, is an error of the preview, without a value", () => {
  expect(() => environmentText("PostgresHost ledger", { headers: { a: "geheim" } })).toThrow(
    "PB191 monitoring.otlp: metrics command requires OTEL_EXPORTER_OTLP_ENDPOINT",
  );
  const wrong = (): string => environmentText("PostgresHost ledger", { endpoint: "geheim:4317" });
  expect(wrong).toThrow("PB191 monitoring.otlp: OTEL_EXPORTER_OTLP_ENDPOINT is no address that begins with http://");
  expect(wrong).not.toThrow("geheim");
});

test("the file is secret as a whole", async () => {
  const text = otlpText("PostgresHost ledger", { endpoint: "http://127.0.0.1:4318" });
  expect(text === null ? null : await pulumi.isSecret(text)).toBe(true);
  const existingFile = "/run/secrets/otlp.env";
  expect(otlpText("PostgresHost ledger", { existingFile })).toBeNull();
  expect(() => otlpText("PostgresHost ledger", { existingFile, headers: {} })).toThrow(
    "PB191 monitoring.otlp.existingFile: it excludes the other fields",
  );
});
