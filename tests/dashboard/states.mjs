// States of the API that the page must show well: what a service would answer in each.

const ago = (seconds) => new Date(Date.now() - seconds * 1_000).toISOString();

const gateway = (name, more = {}) => ({
  name,
  state: 'connected',
  endpoint: '198.51.100.7:51820',
  public_key: 'K9jRw6QXVrhQRMAffNKXPipDK/fvXlSIBHSPh4CQB3A=',
  last_proven_at: ago(3),
  last_round_trip_ms: 18.4,
  handshake_age_s: 74,
  bytes_sent: 48_211_204,
  bytes_received: 911_204_113,
  path_mtu: { outer: 1_500, inner: 1_440, known: 'probed' },
  error: null,
  ...more,
});

const application = (name, host, ports, more = {}) => ({
  name, hosts: [host], host_count: 1, ports, gateway: 'hq', state: 'available', flows: 0, last_refusal: null, ...more,
});

const applications = () => [
  application('wiki', 'wiki.corp.example.com', ['tcp/80', 'tcp/443'], { flows: 3, description: 'Handbook and notes of all teams', url: 'https://wiki.corp.example.com/start' }),
  application('engineering', '*.eng.corp.example.com', ['tcp/*', 'udp/*', 'icmp'], { flows: 12, description: 'Build machines and test labs' }),
  application('git', 'git.corp.example.com', ['tcp/22', 'tcp/443'], { last_refusal: { reason: 'port_not_allowed', text: 'Access denied: the application does not allow this port or protocol', at: ago(140), destination: 'tcp/8080 at 100.81.0.16' } }),
  application('payroll', 'payroll.finance.example.com', ['tcp/443'], { gateway: 'finance' }),
  application('ledger database', 'ledger.finance.example.com', ['tcp/5432'], { gateway: 'finance', description: 'PostgreSQL, read only' }),
  application('printers', '10.77.40.0/24', ['tcp/631', 'tcp/9100'], { state: 'refused: overlap with the connected network 10.77.0.0/16' }),
];

const healthy = () => ({
  version: '0.1.0',
  state: 'connected',
  colour: 'green',
  message: 'Connected: gateway `hq`, `finance` answers',
  since: ago(7_512),
  gateways: [gateway('hq'), gateway('finance', { endpoint: '203.0.113.20:51820', last_round_trip_ms: 41.7, last_proven_at: ago(9), bytes_sent: 1_204_113, bytes_received: 3_204_113, path_mtu: { outer: 1_420, inner: 1_340, known: 'assumed' } })],
  applications: applications(),
  dns: { mode: 'systemd-resolved', state: 'active', resolver: '100.81.0.2', zones: 4, folded: false, physical_servers: ['192.0.2.53:53'] },
  carrier: 'the TUN ztna0 with offload',
  system_changes: ['link ztna0 with 2 addresses', '2 routes in table 31348', '2 routing rules', 'DNS settings of link ztna0 in systemd-resolved'],
  proxies: { ports: [{ serves: 'SOCKS', address: '127.0.0.1:1080' }, { serves: 'HTTP and PAC', address: '127.0.0.1:8080' }], connections: 4, accepted: 1_204, refused: 3, failed: 1 },
  drops: { refused_port_not_allowed: 3, unsolicited: 12 },
  warnings: [],
  not_effective: ['auth.client_id'],
  device: { state: 'passed', message: null },
});

const check = (id, title, state, more) => ({
  id, title, state, required: true, seen: '', wanted: '', reason: null, fix: null, checked_at: ago(95), covers: 'all', ...more,
});

const device = () => ({
  state: 'passed',
  message: null,
  assessed_at: ago(95),
  assessing: false,
  interval_s: 300,
  system: { name: 'Debian GNU/Linux', version: '12', kernel: '6.1.0-28-amd64', hostname: 'laptop' },
  checks: [
    check('firewall', 'Firewall', 'passed', { seen: 'nftables: 2 tables, input policy drop', wanted: 'an active firewall' }),
    check('disk_encryption', 'Disk encryption', 'passed', { seen: 'LUKS under / and /home', wanted: 'encrypted root and home' }),
    check('os_updates', 'Security updates', 'passed', { seen: 'none pending; lists are 3 hours old', wanted: 'no pending security update' }),
    check('os_version', 'Operating system', 'passed', { seen: 'Debian GNU/Linux 12', wanted: '12 or later' }),
    check('edr', 'Endpoint protection', 'passed', { seen: 'falcon-sensor is running', wanted: 'CrowdStrike Falcon', covers: ['payroll', 'ledger database'] }),
    check('secure_boot', 'Secure boot', 'unknown', { required: false, seen: 'no EFI variables', reason: 'This system does not say' }),
  ],
});

const failedDevice = () => {
  const found = device();
  Object.assign(found, { state: 'failed', message: 'Firewall is off: 5 applications are blocked' });
  Object.assign(found.checks[0], { state: 'failed', seen: 'nftables: no rule for incoming packets', reason: 'No firewall is active', fix: 'Open a terminal.\nRun `sudo systemctl enable --now nftables`.\nPress “Re-assess Device”.' });
  Object.assign(found.checks[2], { state: 'unknown', seen: 'the package lists are 19 days old', reason: 'Too old to know', fix: 'Run `sudo apt update`, or let the software centre look for updates.' });
  return found;
};

const blocked = () => {
  const status = healthy();
  Object.assign(status, { state: 'degraded', colour: 'red', message: 'Device does not meet security requirements: Firewall is off', device: { state: 'failed', message: 'Firewall is off: 5 applications are blocked' } });
  for (const each of status.applications.slice(0, 5)) Object.assign(each, { state: 'blocked: device', reason: 'Firewall is off', flows: 0 });
  return status;
};

const lost = () => {
  const status = healthy();
  const silent = { state: 'lost', last_proven_at: ago(1_260), error: 'the gateway does not answer any more' };
  status.gateways = [gateway('hq', silent), gateway('finance', { ...silent, endpoint: '203.0.113.20:51820' })];
  return { ...status, state: 'failed', colour: 'red', message: 'Not connected: gateway `hq`, `finance` stopped answering; new connections to protected destinations are refused', hint: 'check this device’s network and that UDP passes; it is tried again by itself' };
};

const warned = () => {
  const status = healthy();
  status.gateways[1] = gateway('finance', { state: 'lost', endpoint: '203.0.113.20:51820', last_proven_at: ago(300), error: 'the gateway does not answer any more' });
  return { ...status, state: 'degraded', colour: 'yellow', message: 'Connected: gateway `hq` answers; gateway `finance` stopped answering', hint: 'it is tried again by itself', warnings: ['DNS server 10.77.0.53:53 behind gateway `hq` does not answer: names it serves fail', 'port 8080 of the HTTP proxy is taken; hint: end the other program or set `http_port`'] };
};

const connecting = () => {
  const status = healthy();
  const fresh = { state: 'connecting', last_proven_at: null, last_round_trip_ms: null, handshake_age_s: null, bytes_sent: 0, bytes_received: 0, path_mtu: null };
  return { ...status, state: 'connecting', colour: 'red', message: 'Connecting: waiting for gateway `hq`', since: ago(2), gateways: [gateway('hq', fresh)] };
};

const disconnected = () => ({
  ...healthy(), state: 'disconnected', colour: 'gray', message: 'Disconnected: applications are not reachable through the connector', hint: 'run `openztna-client-connector up` to connect', since: ago(30), system_changes: [], carrier: undefined,
  gateways: [gateway('hq', { state: 'disconnected', last_proven_at: null, last_round_trip_ms: null, handshake_age_s: null, path_mtu: null })],
  dns: { mode: 'off', state: 'off', resolver: null, zones: 0, folded: false, physical_servers: [] },
});

const empty = () => ({ ...disconnected(), state: 'failed', colour: 'red', message: 'No gateway is configured', hint: 'add a `[[gateway]]` to the configuration', gateways: [], applications: [], proxies: undefined, drops: {}, not_effective: [] });

const many = () => ({
  ...healthy(),
  applications: Array.from({ length: 5_000 }, (_, index) => application(`service-${index}`, `service-${index}.corp.example.com`, ['tcp/443'], index % 50 === 0 ? { state: 'blocked: device', reason: 'Disk encryption is off' } : {})),
});

const off = () => ({ state: 'off', message: null, assessed_at: null, assessing: false, interval_s: 300, system: device().system, checks: [] });

/** Each state by its name: the status, the device, how the service behaves. */
export const states = {
  connected: () => ({ status: healthy(), device: device() }),
  warnings: () => ({ status: warned(), device: device() }),
  connecting: () => ({ status: connecting(), device: device() }),
  lost: () => ({ status: lost(), device: device() }),
  blocked: () => ({ status: blocked(), device: failedDevice() }),
  disconnected: () => ({ status: disconnected(), device: device() }),
  empty: () => ({ status: empty(), device: off() }),
  many: () => ({ status: many(), device: device() }),
  signedout: () => ({ ...states.connected(), answers: 401 }),
  forbidden: () => ({ ...states.connected(), answers: 403 }),
  gone: () => ({ ...states.connected(), isGone: true }),
};

export const events = () => [
  { id: '1', at: ago(7_520), kind: 'service.started', severity: 'info', message: 'The service started', fields: {} },
  { id: '2', at: ago(7_512), kind: 'gateway.proven', severity: 'info', message: 'Gateway `hq` answers', fields: { gateway: 'hq' } },
  { id: '3', at: ago(3_000), kind: 'access.ended', severity: 'info', message: 'A flow to `git` ended', fields: { application: 'git' } },
  { id: '4', at: ago(140), kind: 'access.refused', severity: 'warn', message: '`git` allows tcp/22, tcp/443, not tcp/8080', fields: { application: 'git', protocol: 'tcp', destination_port: '8080', destination_host: 'git.corp.example.com', reason: 'port_not_allowed' } },
  { id: '5', at: ago(600), kind: 'gateway.lost', severity: 'warn', message: 'Gateway `finance` does not answer any more', fields: { gateway: 'finance' } },
  { id: '6', at: ago(590), kind: 'gateway.proven', severity: 'info', message: 'Gateway `finance` answers', fields: { gateway: 'finance' } },
];

export const dns = {
  mode: 'systemd-resolved', state: 'active', servers: [], total: 3,
  names: [
    { name: 'wiki.corp.example.com', virtual: '100.81.0.16', real: '10.77.0.80', gateway: 'hq' },
    { name: 'git.corp.example.com', virtual: '100.81.0.17', real: '10.77.0.81', gateway: 'hq' },
    { name: 'payroll.finance.example.com', virtual: '100.81.0.18', real: '10.77.0.80', gateway: 'finance' },
  ],
};

export const settings = {
  settings: { start_at_login: true, log_level: 'info', http_proxy: true, socks_proxy: true, notifications: false },
  managed: ['socks_proxy'],
};

/** A line of the log. */
export const logLine = (index, level = ['info', 'info', 'warn', 'info', 'error'][index % 5]) => ({
  at: new Date(Date.now() - 1_000 * Math.max(0, 40 - index)).toISOString(),
  level,
  target: 'openztna::connector',
  message: ['gateway `hq` answers', 'the configuration was read again', 'DNS server behind gateway `hq` does not answer: names it serves fail', 'status published', 'failed to send a datagram: `Network is unreachable`'][index % 5],
});
