// A game's page without its page: one socket of a stock phoenix.js, driven line by line. JSON commands on stdin, JSON
// reports on stdout.
//
// Usage: node phoenix.mjs PACKAGE SETTINGS   with PACKAGE "phoenix-1.8" and so on, and SETTINGS a JSON object:
//   url, appId, secret, socketId; vsn "1.0.0" for the older wire format; heartbeatMs
// It signs what the game's back end would sign, anew for each connection and each join.
//
// Commands: {"join": channel, "options": {}, "meta": any, "events": [names], "badSignature", "hasPresence",
//            "position": to begin with, "recovers": from the last one seen}
//           {"leave": channel}  {"push": channel, "event": name, "payload" or "base64"}  {"disconnect": true}
// Reports:  {"open": count}  {"closed": code}  {"disconnected": true}
//           {"joined" or "refused" or "timeout": channel, "response": any}  {"left": topic}
//           {"event": name, "channel", "payload" or "base64", "position"}  {"answered": event, "response"}
//           {"present": {key: metas}, "channel"}  {"came" or "gone": key, "metas"}  {"heartbeat": count}
//           {"system": payload of jwp_system, "channel"}

import { createHmac } from 'node:crypto';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import undici from 'undici';

const [name, settingsText] = process.argv.slice(2);
const settings = JSON.parse(settingsText);
const { Socket, Presence } = createRequire(import.meta.url)(name);
const SIGNED_FOR_SECONDS = 30;

function report(what) {
  process.stdout.write(JSON.stringify(what) + '\n');
}

function sign(text) {
  return createHmac('sha256', settings.secret).update(text).digest('hex').toUpperCase();
}

function socketParams() {
  const signed = `${settings.socketId}:${Math.floor(Date.now() / 1000) + SIGNED_FOR_SECONDS}`;
  return { app_id: settings.appId, auth: `${signed}:${sign(signed)}` };
}

// phoenix.js speaks its second wire format whatever vsn says; these are the documented options to make it speak the first
const firstFormat = {
  vsn: '1.0.0',
  encode: (message, callback) => callback(JSON.stringify(message)),
  decode: (text, callback) => callback(JSON.parse(text)),
};

const socket = new Socket(settings.url, {
  transport: undici.WebSocket,
  params: socketParams,
  ...(settings.heartbeatMs ? { heartbeatIntervalMs: settings.heartbeatMs } : {}),
  ...(settings.vsn === '1.0.0' ? firstFormat : {}),
});

const channels = new Map();
let opened = 0;
let heartbeats = 0;

socket.onOpen(() => report({ open: ++opened }));
socket.onClose((event) => report({ closed: event.code }));
socket.onMessage((message) => {
  if (message.topic === 'phoenix' && message.event === 'phx_reply') report({ heartbeat: ++heartbeats });
  // the library takes a leave for answered before it is
  if (message.event === 'phx_close') report({ left: message.topic });
});

function payloadReport(payload) {
  return payload instanceof ArrayBuffer ? { base64: Buffer.from(payload).toString('base64') } : { payload };
}

function followPresence(channel, short) {
  const presence = new Presence(channel);
  presence.onJoin((key, before, joined) => report({ came: key, metas: joined.metas, isNew: !before }));
  presence.onLeave((key, left, gone) => report({ gone: key, metas: gone.metas, remaining: left.metas.length }));
  presence.onSync(() => {
    const present = Object.fromEntries(presence.list((key, entry) => [key, entry.metas]));
    report({ present, channel: short });
  });
}

function join(command) {
  const short = command.join;
  const isPlain = command.options === undefined && command.meta === undefined;
  const data = isPlain ? undefined : JSON.stringify({ meta: command.meta, options: command.options });
  let position = command.position ?? null;

  function params() {
    const signed = data === undefined ? `${settings.socketId}:${short}` : `${settings.socketId}:${short}:${data}`;
    const auth = command.badSignature ? sign(signed + '!') : sign(signed);
    return { auth, ...(data === undefined ? {} : { data }), ...(position ? { last_message_id: position } : {}) };
  }

  const channel = socket.channel(`jwp:${settings.appId}:${short}`, params);
  channels.set(short, channel);
  for (const event of command.events || ['said']) {
    channel.on(event, (payload, ref) => {
      if (command.recovers && ref) position = ref;
      report({ event, channel: short, ...payloadReport(payload), position: ref ?? null });
    });
  }
  channel.on('jwp_system', (payload) => {
    if (payload.last_message_id) position = payload.last_message_id;
    report({ system: payload, channel: short });
  });
  if (command.hasPresence) followPresence(channel, short);
  channel
    .join()
    .receive('ok', (response) => {
      if (command.recovers && response.last_message_id && !position) position = response.last_message_id;
      report({ joined: short, response });
    })
    .receive('error', (response) => {
      report({ refused: short, response });
      channel.leave(); // else it asks again and again
    })
    .receive('timeout', () => report({ timeout: short }));
}

function push(command) {
  const payload =
    'base64' in command ? new Uint8Array(Buffer.from(command.base64, 'base64')).buffer : command.payload;
  const sent = channels.get(command.push).push(command.event, payload);
  for (const status of ['ok', 'error'])
    sent.receive(status, (response) => report({ answered: command.event, status, response }));
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  if ('join' in command) join(command);
  else if ('leave' in command) channels.get(command.leave).leave();
  else if ('push' in command) push(command);
  else if ('disconnect' in command) socket.disconnect(() => report({ disconnected: true }));
});
process.stdin.on('end', () => process.exit(0));

socket.connect();
