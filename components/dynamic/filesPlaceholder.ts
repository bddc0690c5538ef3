/** Placeholder in a migration step's arguments for the directory of its files, which is known when it runs. */
export const FILES_PLACEHOLDER = "{files}";
