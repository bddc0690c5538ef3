/** A server and its backups in one update. The server's address and host key are known once it was created. */
import { writeFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import { PosixRepository, PostgresHost } from "pgbackstop";

interface Server {
  readonly address: string;
  readonly port: number;
  readonly hostKey: string;
}

export interface MachineArgs extends Server {
  readonly privateKey: string;
  /** Created when the server is asked for. */
  readonly asked: string;
}

/** A provider that returns as soon as the server is ordered: it boots afterwards. */
class OrderedServer extends pulumi.dynamic.Resource {
  declare readonly address: pulumi.Output<string>;
  declare readonly port: pulumi.Output<number>;
  declare readonly hostKey: pulumi.Output<string>;

  constructor(name: string, asked: string, { address, hostKey, port }: Server) {
    const provider: pulumi.dynamic.ResourceProvider<{ asked: string }, { asked: string } & Server> = {
      create: async (inputs) => {
        writeFileSync(inputs.asked, "");
        return { id: name, outs: { ...inputs, address, hostKey, port } };
      },
    };
    super(provider, name, { asked, address: undefined, hostKey: undefined, port: undefined });
  }
}

export function program({ asked, privateKey, ...server }: MachineArgs): Record<string, pulumi.Output<string>> {
  const vm = new OrderedServer("db1", asked, server);
  const nas = new PosixRepository("nas", { path: "/srv/first" });
  const connection = {
    host: vm.address,
    port: vm.port,
    user: "deploy",
    hostKey: vm.hostKey,
    privateKey: pulumi.secret(privateKey),
  };
  const db = new PostgresHost("db", {
    connection,
    dataDirectory: "/var/lib/postgresql/17/main",
    repositories: { repo1: { at: nas.target } },
    allowRestart: true,
    restartCommand: ["systemctl", "restart", "postgresql@17-main"],
  });
  return { firstBackup: db.firstBackup };
}
