/**
 * Children without the stack traces that Pulumi's SDK takes of them. It formats one for every promise, which is a tenth
 * of a preview's time. And the state has one for every resource: 600 bytes, most of them about this package. The
 * component itself has the position in the program.
 */

const SDK = /[\\/]@pulumi[\\/]pulumi[\\/]/;

/** The first releases of Node.js 20 have no default. */
const errors: { prepareStackTrace?: typeof Error.prepareStackTrace | undefined } = Error;

/** Errors keep their stack traces. With `PULUMI_DEBUG_PROMISE_LEAKS`, which prints them, promises do too. */
export function withoutStackTraces<T>(declare: () => T): T {
  const format = errors.prepareStackTrace;
  if (format === undefined || process.env["PULUMI_DEBUG_PROMISE_LEAKS"] !== undefined) return declare();
  // V8 formats a stack trace when something reads it. In here that is the SDK alone.
  errors.prepareStackTrace = (error, calls): unknown =>
    SDK.test(calls[0]?.getFileName() ?? "") ? "" : format(error, calls);
  try {
    return declare();
  } finally {
    errors.prepareStackTrace = format;
  }
}
