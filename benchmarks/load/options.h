/* Command line of the load client. */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include "process.h"

enum mode { MODE_FANOUT, MODE_ECHO, MODE_IDLE, MODE_CONNECT };
enum protocol { PROTOCOL_WEBSOCKET, PROTOCOL_SOCKETIO };

/* No run is longer than this, whatever the command line says: a forgotten load client must end by itself. */
#define MAX_SECONDS 60.0
#define MAX_CONNECTIONS 60000
#define MAX_MESSAGE_BYTES 60000
#define MAX_WINDOW 4096

struct options {
    enum mode mode;
    enum protocol protocol;
    int port;
    const char *path;
    const char *origin;
    int connections;
    int concurrency;      /* handshakes in progress at once */
    int warm_connections; /* connect: opened and closed before the measured ones */
    int size;             /* bytes of one message, its JSON included */
    int window;           /* fanout: messages in flight, if there is no rate */
    double rate;          /* fanout: messages a second; 0 means the window decides */
    int stalled;          /* fanout: connections, of all, that never read */
    int pipeline;         /* echo: messages in flight on each connection */
    double warm_seconds;
    double seconds;
    double drain_seconds;
    struct process_list servers;
};

/* Fills the options, or explains on stderr what is wrong and ends the program with status 2. */
void parse_options(struct options *options, int count, char **arguments);

#endif
