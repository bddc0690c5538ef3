/** Programs of stacks with many databases, as text: ours, and the same resources declared without this package. */

export const REPOSITORIES = 3;

/** No preview connects to a host. */
const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

/** Declares as many databases as `databases` says. */
export const OUR_DATABASES = `
const { CipherPassphrase, PosixRepository, PostgresHost } = require("pgbackstop");
const declare = (databases) => {
  const key = new CipherPassphrase("key", {}, { protect: false });
  for (let index = 1; index <= databases; index++) {
    const targets = Array.from({ length: ${REPOSITORIES} }, (_, at) => {
      const path = "/mnt/nas" + at + "/" + index;
      const { target } = new PosixRepository(index + "-" + at, { path, requireMount: true, cipher: key.ref });
      return ["repo" + (at + 1), { at: target, keepDays: 30 }];
    });
    new PostgresHost(String(index), {
      connection: { ssh: { host: "db-" + index + ".example.com", hostKeys: ["${HOST_KEY}"], agent: "/run/agent.sock" } },
      dataDirectory: "/srv/pg/" + index,
      repositories: Object.fromEntries(targets),
      schedules: { full: { cron: "30 2 * * 0" }, incr: { cron: "30 2 * * 1-6" } },
      archiveTimeoutSeconds: 60,
    });
  }
};
`;

/**
 * Declares the resources of a file, with the same parents and inputs. A component registers one output, and a dynamic
 * resource has the usual class of the SDK and keeps its inputs.
 */
export const SAME_RESOURCES = `
const { readFileSync } = require("node:fs");
const pulumi = require("@pulumi/pulumi");
class Component extends pulumi.ComponentResource {
  constructor(type, name, inputs, opts) {
    super(type, name, inputs, opts);
    this.registerOutputs({ name });
  }
}
class State extends pulumi.dynamic.Resource {}
const provider = { create: async (inputs) => ({ id: "state", outs: inputs }) };
const made = new Map();
for (const { custom, inputs, name, parent, type, urn } of JSON.parse(readFileSync("resources.json", "utf8"))) {
  const opts = { parent: made.get(parent) };
  const resource = custom ? new State(provider, name, inputs, opts) : new Component(type, name, inputs, opts);
  made.set(urn, resource);
}
`;
