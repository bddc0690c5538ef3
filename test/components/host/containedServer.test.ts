import { expect, test } from "vitest";
import { checkContainer } from "../../../components/host/containedServer";
import { parseSettingsAnswer } from "../../../components/host/postgresSettings";

const DECLARED = {
  container: "shop-db",
  dataDirectory: "/var/lib/postgresql/data",
  settings: { max_slot_wal_keep_size: "16GB" },
};

/** What the server says. */
function live(over: { readonly dataDirectory?: string; readonly value?: string; readonly source?: string } = {}) {
  const { dataDirectory = DECLARED.dataDirectory, source = "default", value = "-1" } = over;
  const settings = [{ name: "max_slot_wal_keep_size", value, source, pendingRestart: false, automatic: null }];
  const stdout = JSON.stringify({ settings, serverVersion: 150_000, dataDirectory });
  return parseSettingsAnswer({ exitCode: 0, stdout, stderr: "" });
}

// claim: docs/hosts/containers.md: another data directory, and settings on the server's command line, are named
test("a container's server must have the declared data, and settings that can change", () => {
  expect(() => checkContainer(DECLARED, live())).not.toThrow();
  expect(() => checkContainer(DECLARED, live({ dataDirectory: "/var/lib/postgresql/18/docker" }))).toThrow(
    "are in /var/lib/postgresql/18/docker there, not in /var/lib/postgresql/data: set dataDirectory",
  );
  const fixed = { source: "command line", value: "1GB" };
  expect(() => checkContainer(DECLARED, live(fixed))).toThrow("the command line of container shop-db sets");
  expect(() => checkContainer(DECLARED, live({ ...fixed, value: "16GB" }))).not.toThrow();
});
