/**
 * PostgreSQL's own compression of page images in WAL: each bit of a control byte tells whether a literal byte or a
 * reference follows.
 *
 * A reference has two bytes (three for more than 17): the length minus 3 in the low four bits, the distance in the
 * others. Errors: format (29). (PostgreSQL "common/pg_lzcompress.c".)
 */
import { fail } from "../../base/errors";

/** @throws format when its size is not `sizeBytes` */
export function decompressPglz(bytes: Uint8Array, sizeBytes: number): Uint8Array {
  const target = new Uint8Array(sizeBytes);
  let at = 0;
  let filled = 0;
  while (at < bytes.length && filled < sizeBytes) {
    let control = bytes[at++] as number;
    for (let bit = 0; bit < 8 && at < bytes.length && filled < sizeBytes; bit++, control >>= 1) {
      if ((control & 1) === 0) {
        target[filled++] = bytes[at++] as number;
        continue;
      }
      const first = bytes[at++] ?? 0;
      const distance = ((first & 0xf0) << 4) | (bytes[at++] ?? 0);
      let length = (first & 0x0f) + 3;
      if (length === 18) length += bytes[at++] ?? 0;
      if (distance === 0 || distance > filled)
        throw fail("format", "pglz content is damaged: a reference points before its beginning");
      if (length > sizeBytes - filled)
        throw fail("format", `pglz content is damaged: it has more than ${sizeBytes} bytes`);
      // Byte by byte: a reference may overlap its own output.
      for (const end = filled + length; filled < end; filled++) target[filled] = target[filled - distance] as number;
    }
  }
  if (filled !== sizeBytes || at !== bytes.length)
    throw fail("format", `pglz content is damaged: it has ${filled} bytes instead of ${sizeBytes}`);
  return target;
}
