// What this build is; the release process replaces the last two.

export const VERSION = '0.1.0';
export const GIT_COMMIT = 'unknown';
/** RFC 3339, or empty when nobody said. */
export const BUILD_TIME = '';
