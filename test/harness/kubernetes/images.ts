/** What the pods of a lab see, by image name. No image is pulled. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { BUNDLE_FILE, PATHS } from "../../../runtime/cnpg/names";
import { projectFolder } from "../../../tools/parts/cache";
import type { BarmanParts } from "../../../tools/parts/debian/barmanCloud";
import {
  type FormerPostgres,
  POD_POSTGRES_MAJOR,
  type LabParts,
} from "../../../tools/parts/kubernetes/kubernetesPrograms";
import type { ImageDouble } from "./procklet/config";

/** The name of the PostgreSQL image in pods. */
export const POSTGRES_IMAGE = `ghcr.io/cloudnative-pg/postgresql:${POD_POSTGRES_MAJOR}`;

const STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Accounts by image, as in the real images. The official Node image has no account with id 26. */
const ACCOUNTS = {
  operator: { name: "nonroot", id: 65_532 },
  postgresql: { name: "postgres", id: 26 },
  node: { name: "node", id: 1000 },
} as const;

/** Writes the account files of the images into `folder`. Returns the doubles of the images. */
export function imageDoubles({ manager }: LabParts, folder: string): readonly ImageDouble[] {
  const accounts = (image: keyof typeof ACCOUNTS): ImageDouble["mounts"] =>
    accountFiles(ACCOUNTS[image], join(folder, image));
  // The Node of this process replaces every version of the official image.
  const node: ImageDouble = {
    name: "(^|/)node[:@]",
    mounts: [...accounts("node"), { source: process.execPath, target: "/usr/local/bin/node" }],
    path: STANDARD_PATH,
    uid: 0,
  };
  return [
    {
      name: "(^|/)cloudnative-pg/cloudnative-pg[:@]",
      mounts: [
        ...accounts("operator"),
        { source: manager, target: "/manager" },
        { source: manager, target: "/operator/manager_amd64" },
      ],
      path: STANDARD_PATH,
      uid: 65_532,
    },
    {
      name: `(^|/)postgresql:${POD_POSTGRES_MAJOR}([.@-]|$)`,
      mounts: accounts("postgresql"),
      path: `/usr/lib/postgresql/${POD_POSTGRES_MAJOR}/bin:${STANDARD_PATH}`,
      uid: 26,
    },
    node,
    // As the Dockerfile of this package makes it.
    { ...node, name: "(^|/)pgbackstop[:@]", mounts: [...node.mounts, runtimeFile(folder)], uid: 10_001 },
  ];
}

/**
 * The image of an older PostgreSQL, from a tree of its own, and the usual one, which sees that tree too: the operator
 * copies the former's programs into a volume of the upgrade's Job, and they find their libraries by the tree's path.
 */
export function upgradeImages({ major, tree }: FormerPostgres, folder: string): readonly ImageDouble[] {
  const image = (version: number, root: string): ImageDouble => ({
    name: `(^|/)postgresql:${version}([.@-]|$)`,
    mounts: [...accountFiles(ACCOUNTS.postgresql, folder), { source: tree, target: tree }],
    path: `${root}/usr/lib/postgresql/${version}/bin:${STANDARD_PATH}`,
    uid: 26,
  });
  return [image(major, tree), image(POD_POSTGRES_MAJOR, "")];
}

/** The doubles of the Barman plugin's two images: its program, and for the sidecar also the programs that it runs. */
export function barmanImages({ manager, programs, tree }: BarmanParts, folder: string): readonly ImageDouble[] {
  const program = {
    mounts: [{ source: manager, target: "/manager" }],
    path: STANDARD_PATH,
    entrypoint: ["/manager"],
    uid: 65_532,
  };
  return [
    { ...program, name: "(^|/)plugin-barman-cloud(-testing)?[:@]" },
    {
      ...program,
      name: "(^|/)plugin-barman-cloud-sidecar(-testing)?[:@]",
      mounts: [...program.mounts, ...accountFiles(ACCOUNTS.postgresql, folder), { source: tree, target: tree }],
      path: `${programs}:${STANDARD_PATH}`,
      uid: 26,
    },
  ];
}

function runtimeFile(folder: string): ImageDouble["mounts"][number] {
  const source = join(folder, BUNDLE_FILE);
  mkdirSync(folder, { recursive: true });
  writeFileSync(source, gzipSync(readFileSync(join(projectFolder(), "dist", "runtime.cjs")), { level: 1 }));
  return { source, target: `${PATHS.bundle}/${BUNDLE_FILE}` };
}

function accountFiles(
  { name, id }: { readonly name: string; readonly id: number },
  folder: string,
): ImageDouble["mounts"] {
  const texts = {
    passwd: `root:x:0:0:root:/root:/bin/bash\n${name}:x:${id}:${id}::/tmp:/bin/bash\n`,
    group: `root:x:0:\n${name}:x:${id}:\n`,
  };
  mkdirSync(folder, { recursive: true });
  return Object.entries(texts).map(([file, text]) => {
    writeFileSync(join(folder, file), text);
    return { source: join(folder, file), target: `/etc/${file}` };
  });
}
