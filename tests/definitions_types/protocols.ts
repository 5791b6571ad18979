// What clients of the relay and of watching in TypeScript do with the types. Compiled in the tests, never run: what is
// marked as an error must be one.

import type {
  RelayAnyServerMessage,
  RelayClientMessage,
  RelayEvent,
  RelayServerMessage,
  RelayServerMessageMap,
} from "../../definitions/relay.js";
import type { WatchPosition, WatchServerMessage } from "../../definitions/watch.js";

// The type tells the relay's own messages apart, and none is forgotten.
export function describe(message: RelayServerMessage): string {
  switch (message.type) {
    case "message":
      return `${message.sender.name}: ${JSON.stringify(message.data)} ${message.position ?? ""}`;
    case "sended":
      return message.error?.code ?? String(message.ok);
    case "connected":
      return message.users.map((user) => user.name).join();
    case "connectOther":
    case "disconnectOther":
      return message.data.user.name;
    case "subscribed":
      return message.recovered ? (message.position ?? "") : "lost";
    case "gap":
      return message.position;
    default: {
      const forgotten: never = message;
      return forgotten;
    }
  }
}

// What the application publishes has a word of its own.
export function event(message: RelayAnyServerMessage): RelayEvent | undefined {
  return message.type === "saved" ? message : undefined;
}

export function on<Type extends keyof RelayServerMessageMap>(
  type: Type,
  listener: (message: RelayServerMessageMap[Type]) => void,
): Type {
  void listener;
  return type;
}

on("connected", (message) => message.users.length);
// @ts-expect-error: it has no users
on("message", (message) => message.users);
// @ts-expect-error: there is no such message
on("sent", () => undefined);

export function send(socket: WebSocket, message: RelayClientMessage): void {
  socket.send(JSON.stringify(message));
}

export function talk(socket: WebSocket): void {
  send(socket, { data: { message: "hello", name: "Ann" } });
  // @ts-expect-error: the data is an object
  send(socket, { data: "hello" });
  // @ts-expect-error: only the server sends this
  send(socket, { type: "sended", ok: true });
}

export function positionOf(message: WatchServerMessage): WatchPosition | null {
  switch (message.type) {
    case "subscribed":
      return message.recovered === false ? null : message.position;
    case "publication":
      return message.by?.username === "ann" ? null : message.position;
    case "presence":
      return message.change === "join" && message.isOfUser ? null : { epoch: "", offset: 0 };
    case "gap":
      return message.position;
    default: {
      const forgotten: never = message;
      return forgotten;
    }
  }
}
