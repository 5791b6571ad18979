/*
 * The load client: opens many WebSocket connections to one server on this machine, makes traffic, and prints one line
 * of JSON: deliveries, the server's CPU time for each of them, latencies, losses, memory.
 *
 * Every message carries its number and the time at which it was sent (in rate mode: was due, so that a server that
 * falls behind cannot hide it). CPU time is read only while nothing is in flight, before and after the measured part,
 * so that each delivery is charged with its whole cost and with no other's.
 *
 * Ends with 0; 2 wrong usage; 3 the connections could not be opened; 4 the server closed one of them.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"
#include "options.h"
#include "process.h"
#include "swarm.h"

#define SECOND 1000000000u
#define MILLISECOND 1000000u
#define MAX_BURST 64
#define WAKE_NANOSECONDS (3 * (uint64_t)SECOND)
#define STAMP_BYTES 36

struct run {
    const struct options *options;
    struct swarm swarm;
    int readers; /* connections that read */
    bool is_publishing;
    bool is_measuring;
    uint64_t due; /* rate mode: when the next message is to be sent */
    uint32_t published;
    uint64_t expected; /* deliveries */
    uint64_t received;
    uint64_t unexpected; /* other messages than ours */
    uint64_t out_of_order;
    int in_flight; /* fanout: messages that somebody has not got yet */
    uint32_t missing[MAX_WINDOW]; /* fanout by window: by how many, for each of them */
    size_t stamp_offset; /* where the last message had its stamp */
    struct histogram latency;
    uint64_t resident_base, resident_peak, resident_sampled_at;
};

struct reading {
    uint64_t cpu, time, received;
    uint32_t published;
    double own_cpu;
};

static uint64_t to_nanoseconds(double seconds)
{
    return (uint64_t)(seconds * SECOND);
}

/* {"eventType":10,"broadcast":true,"message":"n=0000000012 t=00000000001234567890 xxxx"} */
static size_t write_message(const struct options *options, char *target, uint32_t sequence, uint64_t time)
{
    bool is_socketio = options->protocol == PROTOCOL_SOCKETIO;
    const char *envelope = is_socketio ? "42[\"message\"," : "";
    const char *tail = is_socketio ? "\"}]" : "\"}";
    const char *broadcast = options->mode == MODE_FANOUT ? "\"broadcast\":true," : "";
    int head = sprintf(target, "%s{\"eventType\":10,%s\"message\":\"n=%010" PRIu32 " t=%020" PRIu64 " ", envelope,
                       broadcast, sequence, time);
    int padding = options->size + (int)strlen(envelope) - head - 2;
    memset(target + head, 'x', (size_t)padding);
    strcpy(target + head + padding, tail);
    return (size_t)(head + padding) + strlen(tail);
}

static bool is_stamp(const char *text)
{
    return !memcmp(text, "\"n=", 3) && text[13] == ' ' && text[14] == 't' && text[15] == '=';
}

static bool read_stamp(struct run *run, const char *text, size_t length, uint32_t *sequence, uint64_t *time)
{
    if (length < STAMP_BYTES)
        return false;
    if (run->stamp_offset > length - STAMP_BYTES || !is_stamp(text + run->stamp_offset)) {
        /* Only the first message of a run is searched: a server writes its keys in one order. */
        const char *found = memmem(text, length, "\"n=", 3);
        if (!found || found + STAMP_BYTES > text + length || !is_stamp(found))
            return false;
        run->stamp_offset = (size_t)(found - text);
    }
    const char *stamp = text + run->stamp_offset;
    *sequence = 0;
    *time = 0;
    for (int i = 3; i < 13; i++)
        *sequence = *sequence * 10 + (uint32_t)(stamp[i] - '0');
    for (int i = 16; i < 36; i++)
        *time = *time * 10 + (uint64_t)(stamp[i] - '0');
    return true;
}

static void send_echo(struct run *run, struct connection *connection)
{
    char message[MAX_TEXT_BYTES];
    size_t length = write_message(run->options, message, connection->sent++, monotonic_nanoseconds());
    run->published++;
    run->expected++;
    swarm_send(&run->swarm, connection, message, length);
}

static void take_message(struct swarm *swarm, struct connection *connection, const char *text, size_t length)
{
    struct run *run = swarm->context;
    uint32_t sequence;
    uint64_t sent_at;
    if (!read_stamp(run, text, length, &sequence, &sent_at)) {
        run->unexpected++;
        return;
    }
    run->out_of_order += sequence != connection->next_sequence;
    connection->next_sequence = sequence + 1;
    run->received++;
    if (run->is_measuring && swarm->received_at > sent_at)
        histogram_add(&run->latency, swarm->received_at - sent_at);
    if (run->options->mode == MODE_ECHO) {
        if (run->is_publishing)
            send_echo(run, connection);
    } else if (run->options->rate == 0) {
        uint32_t *missing = &run->missing[sequence % (uint32_t)run->options->window];
        if (*missing && --*missing == 0)
            run->in_flight--;
    }
}

static void publish(struct run *run, uint64_t time)
{
    char message[MAX_TEXT_BYTES];
    size_t length = write_message(run->options, message, run->published, time);
    run->missing[run->published % (uint32_t)run->options->window] = (uint32_t)run->readers;
    run->in_flight++;
    run->published++;
    run->expected += (uint64_t)run->readers;
    swarm_send(&run->swarm, &run->swarm.connections[0], message, length);
}

/* Publishes what is due; returns how long to wait for the sockets at most. */
static uint64_t publish_due(struct run *run)
{
    const struct options *options = run->options;
    const struct connection *publisher = &run->swarm.connections[0];
    if (options->rate == 0) {
        /* The oldest message in flight has the slot that the next one needs: messages complete in order. */
        while (run->in_flight < options->window && !run->missing[run->published % (uint32_t)options->window])
            publish(run, monotonic_nanoseconds());
        return 10 * MILLISECOND;
    }
    uint64_t now = monotonic_nanoseconds();
    for (int burst = 0; run->due <= now && burst < MAX_BURST && !publisher->out.length; burst++) {
        publish(run, run->due);
        run->due += to_nanoseconds(1 / options->rate);
    }
    if (publisher->out.length)
        return 10 * MILLISECOND;
    return run->due > now ? run->due - now : 0;
}

static void sample_memory(struct run *run, uint64_t now)
{
    if (now - run->resident_sampled_at < 50 * MILLISECOND)
        return;
    uint64_t resident = resident_kilobytes(&run->options->servers);
    if (resident > run->resident_peak)
        run->resident_peak = resident;
    run->resident_sampled_at = now;
}

/* Makes traffic for so long, then waits until nothing is in flight any more. */
static void make_traffic(struct run *run, double seconds)
{
    uint64_t now = monotonic_nanoseconds(), end = now + to_nanoseconds(seconds);
    run->is_publishing = true;
    run->due = now;
    if (run->options->mode == MODE_ECHO)
        for (int i = 0; i < run->swarm.count; i++)
            for (int j = 0; j < run->options->pipeline; j++)
                send_echo(run, &run->swarm.connections[i]);
    for (; now < end && !run->swarm.closed; now = monotonic_nanoseconds()) {
        uint64_t wait = run->options->mode == MODE_FANOUT ? publish_due(run) : 10 * MILLISECOND;
        swarm_poll(&run->swarm, wait < end - now ? wait : end - now);
        sample_memory(run, now);
    }
    run->is_publishing = false;
    end = now + to_nanoseconds(run->options->drain_seconds);
    for (; run->received < run->expected && now < end && !run->swarm.closed; now = monotonic_nanoseconds()) {
        swarm_poll(&run->swarm, 10 * MILLISECOND);
        sample_memory(run, now);
    }
}

/* Waits until the server has used less than a hundredth of a core for a tenth of a second; three seconds at most. */
static void wait_until_quiet(struct run *run)
{
    for (int i = 0; i < 30; i++) {
        uint64_t before = cpu_nanoseconds(&run->options->servers), end = monotonic_nanoseconds() + SECOND / 10;
        for (uint64_t now = end - SECOND / 10; now < end; now = monotonic_nanoseconds())
            swarm_poll(&run->swarm, end - now);
        if (cpu_nanoseconds(&run->options->servers) - before < MILLISECOND)
            return;
    }
}

static struct reading take_reading(const struct run *run)
{
    return (struct reading){cpu_nanoseconds(&run->options->servers), monotonic_nanoseconds(), run->received,
                            run->published, own_cpu_seconds()};
}

static void print_text(const char *name, const char *text)
{
    printf(",\"%s\":\"", name);
    for (const char *c = text; *c; c++)
        putchar(*c < ' ' || *c > '~' || *c == '"' || *c == '\\' ? '?' : *c);
    putchar('"');
}

static int finish(const struct run *run)
{
    print_text("problem", run->swarm.problem);
    printf(",\"closed\":%d}\n", run->swarm.closed);
    if (run->swarm.problem[0])
        fprintf(stderr, "load: %s\n", run->swarm.problem);
    return run->swarm.closed ? 4 : 0;
}

static void print_traffic(const struct run *run, struct reading from, struct reading to)
{
    const struct options *options = run->options;
    uint64_t deliveries = to.received - from.received;
    double wall = (double)(to.time - from.time) / SECOND, cpu = (double)(to.cpu - from.cpu);
    printf("{\"mode\":\"%s\",\"connections\":%d,\"ready\":%d,\"published\":%" PRIu32 ",\"deliveries\":%" PRIu64
           ",\"lost\":%" PRId64 ",\"unexpected\":%" PRIu64 ",\"out_of_order\":%" PRIu64,
           options->mode == MODE_ECHO ? "echo" : "fanout", options->connections, run->swarm.ready,
           to.published - from.published, deliveries, (int64_t)(run->expected - run->received), run->unexpected,
           run->out_of_order);
    printf(",\"seconds\":%.3f,\"deliveries_per_second\":%.0f,\"cpu_us_per_delivery\":%.4f", wall,
           (double)deliveries / wall, cpu / 1e3 / (double)(deliveries ? deliveries : 1));
    printf(",\"server_utilisation\":%.3f,\"client_utilisation\":%.3f,\"p50_us\":%.1f,\"p99_us\":%.1f",
           cpu / SECOND / wall, (to.own_cpu - from.own_cpu) / wall,
           (double)histogram_quantile(&run->latency, 0.5) / 1e3, (double)histogram_quantile(&run->latency, 0.99) / 1e3);
    printf(",\"rss_before_kb\":%" PRIu64 ",\"rss_peak_kb\":%" PRIu64 ",\"rss_growth_kb\":%" PRId64,
           run->resident_base, run->resident_peak, (int64_t)(run->resident_peak - run->resident_base));
}

static void ignore_message(struct swarm *swarm, struct connection *connection, const char *text, size_t length)
{
    (void)swarm, (void)connection, (void)text, (void)length;
}

/* What became of the stalled connections. After everything else, because it lets them read. */
static void print_stalled(struct run *run)
{
    char reason[sizeof run->swarm.problem] = "";
    int closed = 0;
    run->swarm.on_text = ignore_message;
    if (run->options->stalled)
        closed = swarm_wake_stalled(&run->swarm, WAKE_NANOSECONDS, reason);
    printf(",\"stalled\":%d,\"stalled_closed\":%d", run->options->stalled, closed);
    print_text("stalled_reason", reason);
}

static int measure_traffic(struct run *run)
{
    const struct options *options = run->options;
    run->readers = options->connections - options->stalled;
    if (!swarm_open(&run->swarm, run->readers, 0))
        return 3;
    wait_until_quiet(run);
    make_traffic(run, options->warm_seconds);
    /* The stall belongs to the measured part: so the stalled ones come after the warm-up. */
    if (!swarm_open(&run->swarm, options->connections, options->stalled))
        return 3;
    wait_until_quiet(run);
    run->resident_base = run->resident_peak = resident_kilobytes(&options->servers);
    struct reading from = take_reading(run);
    run->is_measuring = true;
    make_traffic(run, options->seconds);
    struct reading to = take_reading(run);
    print_traffic(run, from, to);
    print_stalled(run);
    return finish(run);
}

/* Modes idle and connect: what connections cost that carry nothing. */
static int measure_connections(struct run *run)
{
    const struct options *options = run->options;
    uint64_t resident_before = resident_kilobytes(&options->servers);
    if (options->warm_connections) {
        if (!swarm_open(&run->swarm, options->warm_connections, 0))
            return 3;
        swarm_close(&run->swarm);
        wait_until_quiet(run);
    }
    struct reading from = take_reading(run);
    if (!swarm_open(&run->swarm, options->connections, 0))
        return 3;
    uint64_t opened = monotonic_nanoseconds();
    wait_until_quiet(run);
    struct reading to = take_reading(run);
    uint64_t resident_after = resident_kilobytes(&options->servers);
    uint64_t end = to.time + to_nanoseconds(options->seconds);
    for (uint64_t now = to.time; now < end && !run->swarm.closed; now = monotonic_nanoseconds())
        swarm_poll(&run->swarm, end - now);
    struct reading last = take_reading(run);
    double count = options->connections;
    double idle_seconds = (double)(last.time - to.time) / SECOND;
    printf("{\"mode\":\"%s\",\"connections\":%d,\"ready\":%d,\"connections_per_second\":%.0f"
           ",\"cpu_us_per_connection\":%.2f,\"rss_before_kb\":%" PRIu64 ",\"rss_after_kb\":%" PRIu64
           ",\"kb_per_connection\":%.3f,\"idle_cpu_percent\":%.2f",
           options->mode == MODE_IDLE ? "idle" : "connect", options->connections, run->swarm.ready,
           count * SECOND / (double)(opened - from.time), (double)(to.cpu - from.cpu) / 1e3 / count, resident_before,
           resident_after, ((double)resident_after - (double)resident_before) / count,
           idle_seconds > 0 ? (double)(last.cpu - to.cpu) / SECOND / idle_seconds * 100 : 0);
    return finish(run);
}

int main(int count, char **arguments)
{
    static struct options options;
    static struct run run;
    parse_options(&options, count, arguments);
    run.options = &options;
    run.swarm.context = &run;
    run.swarm.on_text = take_message;
    swarm_start(&run.swarm, &options);
    int status = options.mode == MODE_FANOUT || options.mode == MODE_ECHO ? measure_traffic(&run)
                                                                           : measure_connections(&run);
    if (status == 3)
        fprintf(stderr, "load: %s\n", run.swarm.problem);
    swarm_close(&run.swarm);
    return status;
}
