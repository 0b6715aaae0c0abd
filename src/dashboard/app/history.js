// The last five minutes of each gateway: throughput and round trip, sampled once a second.

/** How far back, in samples of a second. */
export const SPAN = 300;

const gateways = new Map();

/** Notes the counters of a status that came now (milliseconds). */
export function record(status, now) {
  for (const gateway of status.gateways) {
    const known = gateways.get(gateway.name) ?? { samples: [], last: null, current: null };
    known.current = {
      sent: gateway.bytes_sent,
      received: gateway.bytes_received,
      roundTrip: gateway.state === 'connected' ? gateway.last_round_trip_ms : null,
      now,
    };
    gateways.set(gateway.name, known);
  }
}

/** Once a second: turns counters into a sample. While the service is silent (`isLive` false) there is a gap. */
export function sample(isLive, now) {
  for (const known of gateways.values()) {
    const { current, last } = known;
    if (!isLive || !current) {
      known.samples.push(null);
      known.last = null;
    } else {
      known.samples.push(difference(last, current, now));
      known.last = { ...current, now };
    }
    if (known.samples.length > SPAN) known.samples.shift();
  }
}

/** The samples of a gateway, oldest first: `{ sent, received }` in octets a second, `roundTrip` in ms, or null. */
export const samplesOf = (name) => gateways.get(name)?.samples ?? [];

function difference(last, current, now) {
  const seconds = last ? Math.max(0.2, (now - last.now) / 1_000) : 1;
  // A counter that fell began anew with a new session.
  const per = (name) => (last && current[name] >= last[name] ? (current[name] - last[name]) / seconds : 0);
  return { sent: per('sent'), received: per('received'), roundTrip: current.roundTrip };
}
