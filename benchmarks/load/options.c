#include "options.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char USAGE[] =
    "load: a WebSocket load client. It connects to 127.0.0.1 only and prints one line of JSON.\n"
    "\n"
    "  --mode fanout|echo|idle|connect\n"
    "  --port PORT            where the server listens\n"
    "  --path PATH            request target of the handshake (/)\n"
    "  --origin ORIGIN        Origin header of the handshake (http://localhost)\n"
    "  --protocol websocket|socketio\n"
    "  --connections N        connections to open (100)\n"
    "  --concurrency N        handshakes in progress at once (64)\n"
    "  --warm-connections N   connect: connections opened and closed before the measured ones (0)\n"
    "  --size BYTES           size of one message (120)\n"
    "  --window N             fanout: messages in flight (16)\n"
    "  --rate N               fanout: messages a second instead of a window\n"
    "  --stalled N            fanout: connections that never read (0)\n"
    "  --pipeline N           echo: messages in flight on each connection (1)\n"
    "  --warm-secs SECONDS    traffic before the measured part (0.5)\n"
    "  --secs SECONDS         measured part, at most 60 (1)\n"
    "  --drain-secs SECONDS   how long to wait for what is still in flight, at most 60 (40)\n"
    "  --pid PID[,PID...]     server processes whose CPU time and memory are read\n";

static void refuse(const char *option, const char *problem)
{
    fprintf(stderr, "load: %s: %s (see --help)\n", option, problem);
    exit(2);
}

static double number(const char *option, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(value >= least && value <= most)) {
        char problem[128];
        snprintf(problem, sizeof problem, "expected a number from %g to %g, got \"%.40s\"", least, most, text);
        refuse(option, problem);
    }
    return value;
}

static int choice(const char *option, const char *text, const char *const *names)
{
    for (int i = 0; names[i]; i++)
        if (!strcmp(text, names[i]))
            return i;
    refuse(option, "not one of the names that it may be");
    return 0;
}

static void parse_pids(struct process_list *list, char *text)
{
    for (char *part = strtok(text, ","); part; part = strtok(NULL, ",")) {
        if (list->count == MAX_PROCESSES)
            refuse("--pid", "too many processes");
        list->pids[list->count++] = (int)number("--pid", part, 1, 1e9);
    }
}

static bool set_integer(struct options *o, const char *name, const char *value)
{
    const struct {
        const char *name;
        int *target;
        int least, most;
    } table[] = {
        {"--port", &o->port, 1, 65535},
        {"--connections", &o->connections, 1, MAX_CONNECTIONS},
        {"--concurrency", &o->concurrency, 1, 1024},
        {"--warm-connections", &o->warm_connections, 0, MAX_CONNECTIONS},
        {"--size", &o->size, 100, MAX_MESSAGE_BYTES},
        {"--window", &o->window, 1, MAX_WINDOW},
        {"--stalled", &o->stalled, 0, MAX_CONNECTIONS},
        {"--pipeline", &o->pipeline, 1, 64},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(name, table[i].name)) {
            *table[i].target = (int)number(name, value, table[i].least, table[i].most);
            return true;
        }
    return false;
}

static bool set_seconds(struct options *o, const char *name, const char *value)
{
    if (!strcmp(name, "--warm-secs"))
        o->warm_seconds = number(name, value, 0, MAX_SECONDS);
    else if (!strcmp(name, "--secs"))
        o->seconds = number(name, value, 0, MAX_SECONDS);
    else if (!strcmp(name, "--drain-secs"))
        o->drain_seconds = number(name, value, 0, MAX_SECONDS);
    else if (!strcmp(name, "--rate"))
        o->rate = number(name, value, 0, 1e6);
    else
        return false;
    return true;
}

static void set_option(struct options *o, const char *name, char *value)
{
    static const char *const modes[] = {"fanout", "echo", "idle", "connect", NULL};
    static const char *const protocols[] = {"websocket", "socketio", NULL};

    if (set_integer(o, name, value) || set_seconds(o, name, value))
        return;
    if (!strcmp(name, "--mode"))
        o->mode = choice(name, value, modes);
    else if (!strcmp(name, "--protocol"))
        o->protocol = choice(name, value, protocols);
    else if (!strcmp(name, "--path"))
        o->path = value;
    else if (!strcmp(name, "--origin"))
        o->origin = value;
    else if (!strcmp(name, "--pid"))
        parse_pids(&o->servers, value);
    else
        refuse(name, "unknown option");
}

void parse_options(struct options *options, int count, char **arguments)
{
    *options = (struct options){
        .path = "/", .origin = "http://localhost", .connections = 100, .concurrency = 64, .size = 120, .window = 16,
        .pipeline = 1, .warm_seconds = 0.5, .seconds = 1, .drain_seconds = 40,
    };
    for (int i = 1; i < count; i += 2) {
        if (!strcmp(arguments[i], "--help")) {
            fputs(USAGE, stdout);
            exit(0);
        }
        if (i + 1 == count)
            refuse(arguments[i], "a value is missing");
        set_option(options, arguments[i], arguments[i + 1]);
    }
    if (!options->port)
        refuse("--port", "is required");
    if (options->stalled >= options->connections)
        refuse("--stalled", "must be fewer than --connections");
    if (options->warm_connections > options->connections)
        refuse("--warm-connections", "must not be more than --connections");
}
