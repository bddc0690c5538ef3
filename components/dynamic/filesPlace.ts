/** Stands in words of a step of a migration for the directory of its files, which is known when it runs. */
export const FILES_PLACE = "{files}";
