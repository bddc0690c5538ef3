/** Identity: called on every connection and before every call, so it answers from memory. */
import { VERSION } from "../../version";
import { pluginCapabilities } from "./answers";
import { PLUGIN_NAME } from "../names";
import type { PluginService } from "./grpcServer";

export function identityService(services: Parameters<typeof pluginCapabilities>[0]): PluginService {
  const metadata = {
    name: PLUGIN_NAME,
    version: VERSION,
    display_name: "pgbackstop",
    description: "WAL and base backups in pgBackRest's format, in several repositories at once",
    project_url: "",
    repository_url: "",
    license: "Apache-2.0",
    license_url: "",
    maturity: "alpha",
    vendor: "pgbackstop",
    manifest: {},
  };
  return {
    name: "identity",
    methods: {
      GetPluginMetadata: () => metadata,
      GetPluginCapabilities: () => pluginCapabilities(services),
      Probe: () => ({ ready: true }),
    },
  };
}
