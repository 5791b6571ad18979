/* Many WebSocket connections from one thread: opening, reading, writing, closing. */
#ifndef LOAD_SWARM_H
#define LOAD_SWARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

/* A message with socket.io's own prefix and tail around it. */
#define MAX_TEXT_BYTES (MAX_MESSAGE_BYTES + 64)

/* SOCKETIO_OPEN and SOCKETIO_JOIN: the WebSocket is open, socket.io's own two packets are still to come. */
enum state { CONNECTING, HANDSHAKE, SOCKETIO_OPEN, SOCKETIO_JOIN, READY, CLOSED };

struct buffer {
    unsigned char *bytes;
    size_t length;
    size_t capacity;
};

struct connection {
    int fd;
    enum state state;
    bool is_stalled;
    bool is_writing; /* epoll also watches for room to write */
    uint32_t sent;          /* echo: messages sent on this connection */
    uint32_t next_sequence; /* of the message that should arrive next */
    struct buffer in;  /* the beginning of a frame that has not arrived in full */
    struct buffer out; /* what the socket would not take yet */
};

struct swarm {
    const struct options *options;
    struct connection *connections;
    int count;   /* started */
    int ready;
    int opening;
    int closed;  /* by the server or by an error */
    int epoll;
    uint64_t received_at; /* when the bytes in hand were read */
    char handshake[2048];
    size_t handshake_length;
    char problem[256]; /* the first thing that went wrong */
    void (*on_text)(struct swarm *swarm, struct connection *connection, const char *text, size_t length);
    void *context;
};

void swarm_start(struct swarm *swarm, const struct options *options);

/* Opens connections until count of them are ready. False if the server refuses, or takes more than a minute. */
bool swarm_open(struct swarm *swarm, int count, int stalled);

/* Handles what has happened on the sockets; waits for it for so long at most. */
void swarm_poll(struct swarm *swarm, uint64_t timeout_nanoseconds);

void swarm_send(struct swarm *swarm, struct connection *connection, const char *text, size_t length);

/*
 * Lets the stalled connections read again, for so long at most, and returns how many of them turn out to have been
 * closed: a close stands behind what was sent before. The first one's reason goes to reason, which has
 * sizeof swarm->problem bytes. Closed ones count neither in closed nor as a problem.
 */
int swarm_wake_stalled(struct swarm *swarm, uint64_t limit_nanoseconds, char *reason);

/* Resets every connection, so that no port stays in TIME_WAIT, and forgets them all. */
void swarm_close(struct swarm *swarm);

#endif
