/** The kernel's table of mounts, `/proc/self/mountinfo` ("proc_pid_mountinfo" of the manual). Pure. */

/** The {@link Mount.source} of backups that this program has opened. */
export const OPENED_SOURCE = "pgbackstop";

export interface Mount {
  readonly id: string;
  /** Major and minor number, as `0:45`. */
  readonly device: string;
  readonly path: string;
  /** The directory of the file system that is mounted. */
  readonly root: string;
  /** The file system's, as `ext4` or `fuse`. */
  readonly type: string;
  /** What is mounted, as `/dev/vda1`; a file system without a device has a name of its own. */
  readonly source: string;
  /** The file system's own. */
  readonly options: readonly string[];
}

/** In the kernel's order: of several mounts of one path the last one is seen. */
export function parseMountTable(text: string): Mount[] {
  return text.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const [id = "", , device = "", root = "", path = ""] = fields;
    const [type = "", source = "", options = ""] = fields.slice(fields.indexOf("-", 6) + 1);
    // Blanks and similar characters are octal.
    const plain = (name: string): string =>
      name.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    if (path === "") return [];
    return [{ id, device, path: plain(path), root: plain(root), type, source, options: options.split(",") }];
  });
}
