/** The settings file `pgbackstop.json`: what pgBackRest has no option for. Pure; no file access. */
import { fail } from "../base/errors";
import type { CompressType, Settings } from "./types";

/** The file's own shape; every field optional. */
export interface SettingsFile {
  readonly version?: 1;
  readonly acknowledge?: "all" | "any" | readonly string[];
  readonly repos?: Readonly<Record<string, { readonly compressType?: CompressType; readonly compressLevel?: number; readonly s3Quirks?: string }>>;
}

/** @throws config with file, field, value and what is allowed. */
export function parseSettings(text: string, fileName: string): Settings {
  throw fail("featureNotSupported", `unable to read ${fileName} of ${text.length} characters`);
}

/** The JSON text, stable key order, ends with a line end. @throws config like {@link parseSettings}. */
export function renderSettings(settings: SettingsFile): string {
  throw fail("featureNotSupported", `unable to render ${Object.keys(settings).length} settings`);
}
