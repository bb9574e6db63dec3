export interface Reference { registry: string; path: string; tag: string | undefined; digest: import('./digest.ts').Digest | undefined }
