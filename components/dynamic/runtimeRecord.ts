/**
 * The dynamic resource that remembers which runtimes a plugin has had: clusters may still name them, so it serves them
 * alongside its own. Its methods are self-contained, so that it can be read and removed without the package.
 */
import type * as pulumi from "@pulumi/pulumi";
import { DynamicResource, ownMethods } from "./dynamicResource";

interface RecordInputs {
  /** SHA-256 of the plugin's runtime; omitted for one that it cannot serve. */
  readonly sha256?: string;
}

interface RecordState extends RecordInputs {
  /** Newest first. */
  readonly earlier: readonly string[];
}

export const recordProvider: pulumi.dynamic.ResourceProvider<RecordInputs, RecordState> = {
  create: async ({ sha256 }) => ({
    id: "runtimes",
    outs: { ...(sha256 === undefined ? {} : { sha256 }), earlier: [] },
  }),
  diff: async (_id, olds, { sha256 }) => ({ changes: olds.sha256 !== sha256 }),
  update: async (_id, olds, { sha256 }) => {
    // One for each release of some years; each takes 0.7 MB of the operator's namespace.
    const countMax = 12;
    const former = [olds.sha256, ...olds.earlier].filter((each) => each !== undefined && each !== sha256);
    const earlier = [...new Set(former as string[])].slice(0, countMax);
    return { outs: { ...(sha256 === undefined ? {} : { sha256 }), earlier } };
  },
};

const RECORD = { type: "RuntimeRecord", methods: ownMethods(recordProvider), outputs: ["earlier"] };

/** Remembers the runtimes of one plugin. */
export class RuntimeRecord extends DynamicResource {
  declare readonly earlier: pulumi.Output<readonly string[] | undefined>;

  constructor(
    name: string,
    args: { readonly sha256: pulumi.Input<string | undefined> },
    opts: pulumi.CustomResourceOptions,
  ) {
    super(RECORD, name, args, opts);
  }
}
