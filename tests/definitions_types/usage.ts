// What a client in TypeScript does with the types. Compiled in the tests, never run: what is marked as an error must be one.

import type {
  UsersClientEvent,
  UsersErrorEvent,
  UsersEventType,
  UsersEventTypes,
  UsersFileEntry,
  UsersServerEvent,
  UsersServerEventMap,
  UsersTrustedClientEvent,
} from "../../definitions/events.js";

const numbers: UsersEventTypes = {
  Login: 1,
  Logout: 2,
  Activated: 3,
  Removed: 4,
  FilesUploaded: 5,
  FilesRemoved: 6,
  BucketUploaded: 7,
  BucketRemoved: 8,
  MetaRequest: 9,
  Echo: 10,
  Error: 11,
};

// The number tells the events apart, and none is forgotten.
export function describe(event: UsersServerEvent): string {
  switch (event.eventType) {
    case 1:
    case 2:
    case 3:
    case 4:
      return event.username;
    case 5:
      return `${event.username}: ${event.files.map((file: UsersFileEntry) => file.name).join()}`;
    case 6:
      return event.files.map((file) => file.publicURL ?? file._id).join();
    case 7:
      return `${event.username}: ${event.bucket.name}`;
    case 8:
      return event.bucket.memoryUsed.toFixed();
    case 9:
      return event.error ?? JSON.stringify(event.val);
    case 10:
      return event.message;
    case 11:
      return refusal(event);
    default: {
      const forgotten: never = event;
      return forgotten;
    }
  }
}

function refusal(event: UsersErrorEvent): string {
  // @ts-expect-error: there is no such code
  if (event.code === "no_such_code") {
    return "";
  }
  return `${event.code}: ${event.message} ${Object.keys(event.errors ?? {}).join()}`;
}

export function on<Name extends keyof UsersServerEventMap>(
  name: Name,
  listener: (event: UsersServerEventMap[Name]) => void,
): UsersEventType {
  void listener;
  return numbers[name];
}

on("Echo", (event) => event.message.trim());
// @ts-expect-error: Echo has no user
on("Echo", (event) => event.username);

// There is a DOM Event too; the prefix keeps them apart.
export function receive(socket: WebSocket, frame: MessageEvent<string>): void {
  const event = JSON.parse(frame.data) as UsersServerEvent;
  send(socket, { eventType: 10, message: describe(event), broadcast: true });
  send(socket, { eventType: 9, property: "colour", val: { favourite: ["green", null, 7] } });
  emit(socket, { eventType: 1, username: "ada" });
  emit(socket, { eventType: 10, message: "hello" });
  // @ts-expect-error: an ordinary client does not announce logins
  send(socket, { eventType: 1, username: "ada" });
  // @ts-expect-error: a message is needed
  send(socket, { eventType: 10 });
  // @ts-expect-error: only the server sends errors
  emit(socket, { eventType: 11, code: "internal", message: "" });
  // @ts-expect-error: there is no such event
  emit(socket, { eventType: 12 });
}

function send(socket: WebSocket, event: UsersClientEvent): void {
  socket.send(JSON.stringify(event));
}

function emit(socket: WebSocket, event: UsersTrustedClientEvent): void {
  socket.send(JSON.stringify(event));
}
