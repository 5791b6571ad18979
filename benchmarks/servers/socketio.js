// The npm package socket.io, over its WebSocket transport alone. Usage: node socketio.js PORT
"use strict";

const { createServer } = require("node:http");
const { Server } = require("socket.io");

const http = createServer();
const server = new Server(http, { transports: ["websocket"], serveClient: false });

server.on("connection", (socket) => {
  socket.on("message", (event) => {
    if (event.broadcast) {
      server.emit("message", event);
    } else {
      socket.emit("message", event);
    }
  });
});

http.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
