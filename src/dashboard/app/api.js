// Requests to the local API. The browser sends the cookie; what changes something has a header that no form can send.

import { text } from './strings.js';

const STEERING = { 'X-OpenZTNA': 'dashboard' };

/** How long an answer may take: longer than the service's own limit of 20 s for a command. */
const TIMEOUT_MS = 25_000;

/** Why a request failed. `status` is 0 when nobody answered. */
export class ApiError extends Error {
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

/** Reads a resource. */
export const read = (path) => request('GET', path);

/** Does or changes something; `body` as JSON. */
export const send = (method, path, body) => request(method, path, body);

async function request(method, path, body) {
  const headers = method === 'GET' ? {} : { ...STEERING };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const answer = await fetch(`/api/v1/${path}`, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: 'same-origin',
    cache: 'no-store',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch(() => { throw new ApiError(0, text.noAnswer); });
  if (!answer.ok) throw await problem(answer);
  return answer.status === 204 ? null : answer.json();
}

/** The problem document (RFC 9457) of an answer. */
async function problem(answer) {
  const document = await answer.json().catch(() => ({}));
  return new ApiError(answer.status, document.detail ?? document.title ?? text.failedWith(answer.status), document.hint);
}
