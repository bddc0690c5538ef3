/**
 * PostgreSQL's own list of WAL record types, from the headers of its server: resource managers of "access/rmgrlist.h"
 * and the info codes that headers define for each.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface RecordType {
  readonly resourceManager: number;
  /** Bits of a record's info that name the operation. */
  readonly info: number;
  /** PostgreSQL's name. */
  readonly name: string;
}

/** Headers with record types, by resource manager. Two managers share that of the heap. */
const HEADERS: Readonly<Record<string, string>> = {
  "access/brin_xlog.h": "RM_BRIN_ID",
  "access/clog.h": "RM_CLOG_ID",
  "access/commit_ts.h": "RM_COMMIT_TS_ID",
  "access/ginxlog.h": "RM_GIN_ID",
  "access/gistxlog.h": "RM_GIST_ID",
  "access/hash_xlog.h": "RM_HASH_ID",
  "access/heapam_xlog.h": "RM_HEAP_ID",
  "access/multixact.h": "RM_MULTIXACT_ID",
  "access/nbtxlog.h": "RM_BTREE_ID",
  "access/spgxlog.h": "RM_SPGIST_ID",
  "access/xact.h": "RM_XACT_ID",
  "catalog/pg_control.h": "RM_XLOG_ID",
  "catalog/storage_xlog.h": "RM_SMGR_ID",
  "commands/dbcommands_xlog.h": "RM_DBASE_ID",
  "commands/sequence.h": "RM_SEQ_ID",
  // Since 19.
  "commands/sequence_xlog.h": "RM_SEQ_ID",
  "commands/tablespace.h": "RM_TBLSPC_ID",
  "replication/message.h": "RM_LOGICALMSG_ID",
  "replication/origin.h": "RM_REPLORIGIN_ID",
  "storage/standbydefs.h": "RM_STANDBY_ID",
  "utils/relmapper.h": "RM_RELMAP_ID",
};
const DEFINITION = /^#define\s+((?:XLOG|CLOG|COMMIT_TS)\w*_\w+)\s+\(?0x([0-9A-Fa-f]+)\b/gm;
/** Masks, flags and the number of the format. */
const NO_TYPE = /_OPMASK$|_INIT_PAGE$|^XLOG_(XACT_HAS_INFO|PAGE_MAGIC|INCLUDE_\w+|MARK_UNIMPORTANT)$/;
/** A manager without info codes: its records are one type. */
const GENERIC = "RM_GENERIC_ID";

/**
 * Every record type, in order.
 * @param folder of the server's headers
 * @throws Error for a header or a resource manager that this module does not know
 */
export function recordTypesOf(folder: string): RecordType[] {
  const list = readFileSync(join(folder, "access/rmgrlist.h"), "utf8");
  const managers = [...list.matchAll(/^PG_RMGR\((\w+)/gm)].map((match) => match[1] ?? "");
  const types = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".h"))
    .flatMap((path) =>
      [...readFileSync(join(folder, path), "utf8").matchAll(DEFINITION)].flatMap(([, name = "", digits = ""]) => {
        if (NO_TYPE.test(name)) return [];
        const manager = name.startsWith("XLOG_HEAP2_") ? "RM_HEAP2_ID" : HEADERS[path];
        if (manager === undefined) throw new Error(`${path} defines ${name}: of which resource manager?`);
        return [{ resourceManager: managers.indexOf(manager), info: Number.parseInt(digits, 16), name }];
      }),
    );
  types.push({ resourceManager: managers.indexOf(GENERIC), info: 0, name: GENERIC });
  const missing = managers.filter((_, index) => !types.some(({ resourceManager }) => resourceManager === index));
  if (missing.length > 0) throw new Error(`no header defines the records of ${missing.join(", ")}`);
  return types.toSorted((a, b) => a.resourceManager - b.resourceManager || a.info - b.info);
}

/** The major versions of the list below, of which each has some lines. */
export const LISTED_MAJORS = [14, 15, 16, 17, 18, 19];

/** The list of one major version among the vectors. */
export function listedTypes(major: number): RecordType[] {
  const text = readFileSync(join(__dirname, "../vectors/wal/recordTypes.txt"), "utf8");
  return text.split("\n").flatMap((line): RecordType[] => {
    const [manager, info, name = "", ...majors] = line.split(" ");
    return majors.includes(String(major)) ? [{ resourceManager: Number(manager), info: Number(info), name }] : [];
  });
}
