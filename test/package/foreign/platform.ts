/**
 * A user's program with its own component, dynamic resource, provider instances and bucket, and with our components
 * among them. It compiles with the strictest settings against the declarations of the installed package.
 */
import * as pulumi from "@pulumi/pulumi";
import {
  Acknowledge,
  CipherPassphrase,
  PosixRepository,
  PostgresHost,
  type PostgresHostArgs,
  S3CompatibleRepository,
  UriStyle,
} from "pgbackstop";

interface Share {
  readonly path: string;
}

/** A share of a storage appliance. Its path is known only after it was created. */
class NasShare extends pulumi.dynamic.Resource {
  declare readonly path: pulumi.Output<string>;

  constructor(name: string, path: pulumi.Input<string>, opts?: pulumi.CustomResourceOptions) {
    const provider: pulumi.dynamic.ResourceProvider<{ wanted: string }, Share> = {
      create: async (inputs) => ({ id: inputs.wanted, outs: { path: inputs.wanted } }),
    };
    super(provider, name, { wanted: path, path: undefined }, opts);
  }
}

class Engine extends pulumi.ProviderResource {}
class Cloud extends pulumi.ProviderResource {}

/** Declared as in the package of a cloud provider. */
class Bucket extends pulumi.CustomResource {
  declare readonly bucket: pulumi.Output<string>;

  constructor(name: string, bucket: string, opts: pulumi.CustomResourceOptions) {
    super("aws:s3/bucket:Bucket", name, { bucket, tags: { team: "platform" }, arn: undefined }, opts);
  }
}

export interface PlatformArgs {
  readonly share: string;
  readonly bucket: {
    readonly name: string;
    readonly endpoint: string;
    readonly port: number;
    readonly region: string;
    readonly caFile: string;
  };
  readonly accessKeyId: pulumi.Input<string>;
  readonly secretAccessKey: pulumi.Input<string>;
  readonly dataDirectory: string;
  readonly host: Partial<PostgresHostArgs>;
  readonly protect: boolean | null;
}

/** A platform team's component that contains a database's backups. */
class Platform extends pulumi.ComponentResource {
  readonly topology: pulumi.Output<string>;
  readonly firstBackup: pulumi.Output<string>;

  constructor(name: string, args: PlatformArgs, opts?: pulumi.ComponentResourceOptions) {
    super("acme:platform:Platform", name, {}, opts);
    const parent = { parent: this };
    const share = new NasShare(`${name}-share`, args.share, parent);
    const key = new CipherPassphrase(
      `${name}-key`,
      {},
      args.protect === null ? parent : { ...parent, protect: args.protect },
    );
    const nas = new PosixRepository(`${name}-nas`, { path: share.path, cipher: key.ref }, parent);
    const { bucket } = args;
    // The bucket's contents outlive the stack.
    const made = new Bucket(`${name}-bucket`, bucket.name, {
      ...parent,
      protect: args.protect ?? true,
      retainOnDelete: true,
    });
    const remote = new S3CompatibleRepository(
      `${name}-s3`,
      {
        endpoint: bucket.endpoint,
        port: bucket.port,
        region: bucket.region,
        caFile: bucket.caFile,
        uriStyle: UriStyle.Path,
        bucket: {
          existing: {
            name: made.bucket,
            credentials: { accessKeyId: args.accessKeyId, secretAccessKey: args.secretAccessKey },
          },
        },
        cipher: key.ref,
      },
      parent,
    );
    const host = new PostgresHost(
      `${name}-db`,
      {
        connection: { local: {} },
        dataDirectory: pulumi.output(args.dataDirectory),
        repositories: { repo1: { at: nas.target, keepFullCount: 2 }, repo2: { at: remote.target } },
        schedules: {},
        acknowledge: { mode: Acknowledge.Any },
        ...args.host,
      },
      parent,
    );
    this.topology = host.topology;
    this.firstBackup = host.firstBackup;
    this.registerOutputs({ topology: this.topology });
  }
}

export function program(args: PlatformArgs): Record<string, pulumi.Output<string>> {
  const engine = new Engine("pulumi-nodejs", "own-engine", {});
  const aws = new Cloud("aws", "own-aws", { region: args.bucket.region });
  const platform = new Platform("acme", args, { providers: [engine, aws] });
  return { topology: platform.topology, firstBackup: platform.firstBackup };
}
