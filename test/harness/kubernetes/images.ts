/** What the pods of a lab see by the names of their images: nothing is pulled. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { POD_POSTGRES_MAJOR, type LabParts } from "../../../tools/parts/kubernetesPrograms";
import type { ImageDouble } from "./procklet/config";

/** As pods name the image with PostgreSQL. */
export const POSTGRES_IMAGE = `ghcr.io/cloudnative-pg/postgresql:${POD_POSTGRES_MAJOR}`;

const STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Accounts by image, as the real ones have them: the official Node image knows nobody of id 26. */
const ACCOUNTS = {
  operator: { name: "nonroot", id: 65_532 },
  postgresql: { name: "postgres", id: 26 },
  node: { name: "node", id: 1000 },
} as const;

/** Writes the account files of the images into `folder` and says what pods see. */
export function imageDoubles({ manager }: LabParts, folder: string): readonly ImageDouble[] {
  const accounts = (image: keyof typeof ACCOUNTS): { source: string; target: string }[] => {
    const { name, id } = ACCOUNTS[image];
    const texts = { passwd: `root:x:0:0:root:/root:/bin/bash\n${name}:x:${id}:${id}::/tmp:/bin/bash\n`, group: `root:x:0:\n${name}:x:${id}:\n` };
    mkdirSync(join(folder, image), { recursive: true });
    return Object.entries(texts).map(([file, text]) => {
      writeFileSync(join(folder, image, file), text);
      return { source: join(folder, image, file), target: `/etc/${file}` };
    });
  };
  return [
    {
      name: "(^|/)cloudnative-pg/cloudnative-pg[:@]",
      mounts: [...accounts("operator"), { source: manager, target: "/manager" }, { source: manager, target: "/operator/manager_amd64" }],
      path: STANDARD_PATH,
      uid: 65_532,
    },
    {
      name: `(^|/)postgresql:${POD_POSTGRES_MAJOR}([.@-]|$)`,
      mounts: accounts("postgresql"),
      path: `/usr/lib/postgresql/${POD_POSTGRES_MAJOR}/bin:${STANDARD_PATH}`,
      uid: 26,
    },
    // The Node of this process stands in for every version of the official image.
    {
      name: "(^|/)node[:@]",
      mounts: [...accounts("node"), { source: process.execPath, target: "/usr/local/bin/node" }],
      path: STANDARD_PATH,
      uid: 0,
    },
  ];
}
