// A service that is none: serves the page from the tree and the states of `states.mjs`, for looking at the page and for
// its tests. `node mock.mjs [PORT] [STATE]`; `serve` for tests.

import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { dns, events, logLine, settings, states } from './states.mjs';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../src/dashboard');
const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Starts on `port` (0: any); returns `{ address, show(state), requests, close }`. */
export async function serve(port = 0, first = 'connected') {
  const service = { now: states[first](), settings: structuredClone(settings), streams: new Set(), logs: new Set(), requests: [] };
  const server = http.createServer((request, answer) => handle(service, request, answer).catch((error) => answer.destroy(error)));
  await new Promise((ready) => { server.listen(port, '127.0.0.1', ready); });
  const ticks = setInterval(() => tick(service), 1_000);
  return {
    address: `http://127.0.0.1:${server.address().port}`,
    requests: service.requests,
    show(name, change = (now) => now) {
      service.now = change(states[name]()) ?? service.now;
      if (service.now.isGone || service.now.answers) for (const stream of [...service.streams, ...service.logs]) stream.destroy();
      else tell(service);
    },
    close() {
      clearInterval(ticks);
      server.closeAllConnections();
      server.close();
    },
  };
}

async function handle(service, request, answer) {
  const { pathname, searchParams } = new URL(request.url, 'http://127.0.0.1');
  const body = await text(request);
  service.requests.push({ method: request.method, path: pathname, headers: request.headers, body });
  if (!pathname.startsWith('/api/')) return asset(pathname, answer);
  if (service.now.isGone) return answer.destroy();
  const { answers } = service.now;
  if (answers && pathname !== '/api/v1/session') return problem(answer, answers, answers === 401 ? 'no token and no session' : 'this user may not read or steer the connector');
  if (request.method !== 'GET' && request.headers['x-openztna'] !== 'dashboard') return problem(answer, 403, 'a header is missing');
  const route = routes[`${request.method} ${pathname.slice('/api/v1/'.length)}`];
  return route ? route({ service, request, answer, searchParams, body }) : problem(answer, 404, `no such resource: \`${pathname}\``);
}

const routes = {
  'POST session': ({ service, answer, body }) => {
    if (JSON.parse(body).code !== 'right') return problem(answer, 401, 'the code is not known');
    delete service.now.answers;
    answer.writeHead(204, { 'Set-Cookie': 'openztna_session=1; HttpOnly; SameSite=Strict; Path=/' }).end();
  },
  'GET status': ({ service, answer }) => json(answer, service.now.status),
  'GET device': ({ service, answer }) => json(answer, service.now.device),
  'GET dns': ({ answer }) => json(answer, dns),
  'GET settings': ({ service, answer }) => json(answer, service.settings),
  'PUT settings': ({ service, answer, body }) => {
    const wanted = JSON.parse(body);
    if (Object.keys(wanted).some((name) => service.settings.managed.includes(name))) return problem(answer, 409, 'set by the administrator');
    Object.assign(service.settings.settings, wanted);
    json(answer, service.settings);
  },
  'POST connect': (context) => steer(context, 'connected'),
  'POST disconnect': (context) => steer(context, 'disconnected'),
  'POST assess': async ({ service, answer }) => {
    if (service.now.isSlow) {
      service.now.isSlow = false;
      service.now.device.assessing = true;
      setTimeout(() => { service.now = states.connected(); }, 1_500);
      return problem(answer, 504, 'the device is still being assessed');
    }
    await new Promise((done) => { setTimeout(done, 400); });
    service.now = states.connected();
    service.now.device.assessed_at = new Date().toISOString();
    json(answer, service.now.device);
    tell(service);
  },
  'PUT logs/level': ({ answer }) => answer.writeHead(204).end(),
  'GET logs': ({ service, request, answer, searchParams }) => {
    if (searchParams.has('download')) return answer.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Disposition': 'attachment; filename="openztna.log"' }).end('a line\n');
    const lines = Array.from({ length: 40 }, (_, index) => logLine(index));
    if (request.headers.accept !== 'text/event-stream') return json(answer, { lines, level: 'info' });
    stream(answer, service.logs);
    for (const line of lines) event(answer, 'log', line);
  },
  'GET events': ({ service, answer }) => {
    stream(answer, service.streams);
    event(answer, 'status', service.now.status);
    event(answer, 'device', service.now.device);
    for (const each of events()) event(answer, 'event', each);
  },
};

async function steer({ service, answer }, name) {
  await new Promise((done) => { setTimeout(done, 100); });
  service.now = states[name]();
  json(answer, service.now.status);
  tell(service);
}

/** Traffic goes on, and a line is logged, each second. */
function tick(service) {
  if (service.now.isGone) return;
  const { gateways, state } = service.now.status;
  gateways.forEach((gateway, index) => {
    if (gateway.state !== 'connected') return;
    gateway.bytes_received += Math.round(900_000 * Math.random() ** 3 / (index * 9 + 1));
    gateway.bytes_sent += Math.round(90_000 * Math.random() / (index * 9 + 1));
    gateway.last_round_trip_ms = (index ? 40 : 17) + Math.random() * 4;
    gateway.last_proven_at = new Date().toISOString();
  });
  if (state !== 'disconnected') tell(service);
  for (const log of service.logs) event(log, 'log', logLine(40 + Math.floor(Math.random() * 5)));
}

function tell(service) {
  for (const stream of service.streams) {
    event(stream, 'status', service.now.status);
    event(stream, 'device', service.now.device);
  }
}

function stream(answer, streams) {
  answer.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  streams.add(answer);
  answer.on('close', () => streams.delete(answer));
}

const event = (answer, name, data) => answer.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
const json = (answer, value) => answer.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
const problem = (answer, status, detail) => answer.writeHead(status, { 'Content-Type': 'application/problem+json' }).end(JSON.stringify({ type: 'about:blank', title: http.STATUS_CODES[status], status, detail }));

function asset(pathname, answer) {
  const name = pathname === '/' ? '/index.html' : pathname;
  const file = path.join(root, path.normalize(name));
  if (!file.startsWith(root) || !fs.existsSync(file)) return problem(answer, 404, 'no such resource');
  answer.writeHead(200, { 'Content-Type': types[path.extname(file)], 'Content-Security-Policy': policy, 'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-store' });
  answer.end(fs.readFileSync(file));
}

async function text(request) {
  let all = '';
  for await (const part of request) all += part;
  return all;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { address } = await serve(Number(process.argv[2] ?? 8_099), process.argv[3]);
  console.log(`${address}/  (a code that works: ${address}/#code=right)`);
}
