// Credentials as clients send them: read in their several forms, and taken out of whatever is shown.
import type { RegistryAuth } from '../wire/types.ts';

export interface Credentials { username: string; password: string }

/** User and password, from their fields or from `auth`, the base64 of both that configuration files hold. */
export function credentialsOf(auth: RegistryAuth | undefined): Credentials | undefined {
  if (auth?.username) return { username: auth.username, password: auth.password ?? '' };
  const decoded = Buffer.from(auth?.auth ?? '', 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  return colon > 0 ? { username: decoded.slice(0, colon), password: decoded.slice(colon + 1).replace(/\0+$/, '') } : undefined;
}

export const basicHeader = ({ username, password }: Credentials): string => `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

/** Shorter ones would blot out half of every sentence, and are no secrets. */
const MIN_SECRET_CHARS = 4;

/** Takes the secrets of `auth` out of a text that a server wrote; servers echo what they do not like. */
export function redacted(text: string, auth: RegistryAuth | undefined): string {
  const credentials = credentialsOf(auth);
  const secrets = [credentials?.password, credentials && basicHeader(credentials).slice('Basic '.length), auth?.auth, auth?.identitytoken, auth?.registrytoken];
  return secrets.reduce<string>((shown, secret) => (secret !== undefined && secret.length >= MIN_SECRET_CHARS ? shown.replaceAll(secret, '(hidden)') : shown), text);
}
